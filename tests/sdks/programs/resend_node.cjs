// What an application does with the Resend SDK for Node.js. Reads the email from standard input, prints what it got.
const { readFileSync } = require("node:fs");
const { Resend } = require("resend");

async function main() {
  const email = JSON.parse(readFileSync(0, "utf8"));
  const file = email.attachments[0];
  email.attachments[0] = { ...file, content: Buffer.from(file.content, "base64") };
  const later = { ...email, scheduledAt: "in 1 hour", attachments: [] };
  const resend = new Resend(process.argv[2]);
  const stranger = await new Resend("a-key-that-nobody-has").emails.send(email);
  const sent = await resend.emails.send(email, { idempotencyKey: "once" });
  const batch = await resend.batch.send([later, later]);
  const [one, two] = batch.data.data.map((item) => item.id);
  const updated = await resend.emails.update({ id: one, scheduledAt: "2026-12-24T08:00:00Z" });
  const cancelled = await resend.emails.cancel(two);
  console.log(
    JSON.stringify({
      id: sent.data.id,
      read: (await resend.emails.get(sent.data.id)).data,
      updated: updated.data.id === one,
      moved: (await resend.emails.get(one)).data.scheduled_at,
      cancelled: cancelled.data.id === two,
      event: (await resend.emails.get(two)).data.last_event,
      stranger: stranger.error,
      invalid: (await resend.emails.send({ ...email, to: "nope" })).error,
      missing: (await resend.emails.send({ ...email, subject: "" })).error,
      unknown: (await resend.emails.get("0c6a1b52-0f3b-7c3f-8000-000000000000")).error,
    }),
  );
}

main();
