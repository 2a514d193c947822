// What an application does with the suppression list by the Resend SDK for Node.js. Prints what it got.
const { Resend } = require("resend");

async function main() {
  const { suppressions } = new Resend(process.argv[2]);
  const added = await suppressions.add({ email: "Anna@Example.com" });
  const several = await suppressions.batch.add({ emails: ["bob@example.net", "carl@example.net"] });
  const listed = await suppressions.list({ origin: "manual" });
  const read = await suppressions.get("anna@example.com");
  const removed = await suppressions.remove(added.data.id);
  const gone = await suppressions.batch.remove({ emails: ["bob@example.net", "carl@example.net"] });
  const missing = await suppressions.get("anna@example.com");
  console.log(
    JSON.stringify({
      errors: [added, several, listed, read, removed, gone].map((one) => one.error),
      added: added.data.id,
      several: several.data.data.map((one) => one.id),
      listed: listed.data.data,
      read: read.data,
      removed: removed.data,
      gone: gone.data.data,
      missing: missing.error,
    }),
  );
}

main();
