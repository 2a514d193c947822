// What an application does with events by the Resend SDK for Node.js: it verifies each, and reads what it has.
const { readFileSync } = require("node:fs");
const { Resend } = require("resend");

const { secret, events } = JSON.parse(readFileSync(0, "utf8"));
const { webhooks } = new Resend("unused");

async function main() {
  const read = [];
  for (const { payload, headers } of events) {
    const parts = { id: headers["svix-id"], timestamp: headers["svix-timestamp"], signature: headers["svix-signature"] };
    read.push(await webhooks.verify({ payload, headers: parts, webhookSecret: secret }));
  }
  console.log(JSON.stringify(read));
}

main();
