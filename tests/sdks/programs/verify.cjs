// The signature of one webhook, by the packages of Svix, of Standard Webhooks and of Resend: which of them refuse it?
const { readFileSync } = require("node:fs");
const { Webhook: Svix } = require("svix");
const { Webhook: Standard } = require("standardwebhooks");
const { Resend } = require("resend");

const { secret, body, headers } = JSON.parse(readFileSync(0, "utf8"));
const own = (prefix) => Object.fromEntries(Object.entries(headers).filter(([name]) => name.startsWith(prefix)));
const svix = own("svix-");
const parts = { id: svix["svix-id"], timestamp: svix["svix-timestamp"], signature: svix["svix-signature"] };
const judges = {
  svix: (payload) => new Svix(secret).verify(payload, svix),
  standardwebhooks: (payload) => new Standard(secret).verify(payload, own("webhook-")),
  resend: (payload) => new Resend("unused").webhooks.verify({ payload, headers: parts, webhookSecret: secret }),
};
const refuses = async (judge, payload) => {
  try {
    await judge(payload);
    return false;
  } catch {
    return true;
  }
};

async function main() {
  const told = {};
  for (const [name, judge] of Object.entries(judges)) {
    told[name] = { ours: await refuses(judge, body), forged: await refuses(judge, body + " ") };
  }
  console.log(JSON.stringify(told));
}

main();
