// Nodemailer's pool alone: each line read is an order {"count", "content"}, answered with the seconds that it took to
// relay the message in the file `content` so many times. Nothing is composed and nothing is stored.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { pool } from "./upstream.js";

const transport = pool();
const envelope = { from: process.env.MAIL_FROM, to: [process.env.RCPT_TO] };

async function relay({ count, content }) {
  const mail = { envelope, raw: readFileSync(content) };
  let left = count;
  const lane = async () => {
    while (left-- > 0) await transport.sendMail(mail);
  };
  const began = process.hrtime.bigint();
  await Promise.all(Array.from({ length: 12 }, lane));
  return Number(process.hrtime.bigint() - began) / 1e9;
}

for await (const line of createInterface({ input: process.stdin })) console.log(await relay(JSON.parse(line)));
transport.close();
