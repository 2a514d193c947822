// Nodemailer's pool alone: the same finished message COUNT times for each line read from standard input, which holds
// COUNT; answers each line with the seconds that took. Nothing is composed and nothing is stored.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { pool } from "./upstream.js";

const transport = pool();
const mail = {
  envelope: { from: process.env.MAIL_FROM, to: [process.env.RCPT_TO] },
  raw: readFileSync(process.env.CONTENT_FILE),
};

async function relay(count) {
  let left = count;
  const lane = async () => {
    while (left-- > 0) await transport.sendMail(mail);
  };
  const began = process.hrtime.bigint();
  await Promise.all(Array.from({ length: 12 }, lane));
  return Number(process.hrtime.bigint() - began) / 1e9;
}

for await (const line of createInterface({ input: process.stdin })) console.log(await relay(Number(line)));
transport.close();
