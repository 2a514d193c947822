// What an application does with the Postmark SDK for Node.js. Reads the email from standard input, prints what it got.
const { readFileSync } = require("node:fs");
const { ServerClient } = require("postmark");

const refused = (call) =>
  call.then(
    () => ["nothing was raised"],
    (error) => [error.name, error.statusCode, error.code, error.message],
  );

async function main() {
  const [, , token, url] = process.argv;
  const email = JSON.parse(readFileSync(0, "utf8"));
  const where = { requestHost: new URL(url).host, useHttps: url.startsWith("https:") };
  const client = new ServerClient(token, where);
  console.log(
    JSON.stringify({
      sent: await client.sendEmail(email),
      batch: await client.sendEmailBatch([email, { ...email, To: "nope" }]),
      invalid: await refused(client.sendEmail({ ...email, To: "nope" })),
      template: await refused(client.sendEmailWithTemplate({ ...email, TemplateId: 1, TemplateModel: {} })),
      stranger: await refused(new ServerClient("a-key-that-nobody-has", where).sendEmail(email)),
    }),
  );
}

main();
