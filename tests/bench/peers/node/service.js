// The usual durable mail service in Node: Express answers once BullMQ's job is in Redis; a worker in the same process
// relays through Nodemailer's pool.
import { Queue, Worker } from "bullmq";
import express from "express";
import { Redis } from "ioredis";
import { pool } from "./upstream.js";

const redis = () => new Redis(Number(process.env.REDIS_PORT), "127.0.0.1", { maxRetriesPerRequest: null });
const transport = pool();
const mails = new Queue("mails", {
  connection: redis(),
  defaultJobOptions: { attempts: 5, backoff: { type: "exponential", delay: 1000 }, removeOnComplete: true },
});
// More jobs at hand than connections, so that the pool never waits for Redis.
new Worker("mails", (job) => transport.sendMail(job.data), { connection: redis(), concurrency: 12 });

const isText = (value) => typeof value === "string" && value.length > 0;
const app = express();
app.use(express.json({ limit: "50mb" }));
app.post("/emails", async (request, response) => {
  const { from, to, subject, html, text } = request.body;
  if (![from, to, subject].every(isText) || !(isText(html) || isText(text))) {
    response.status(422).json({ error: "from, to, subject, and html or text are needed" });
    return;
  }
  const job = await mails.add("mail", { from, to, subject, html, text });
  response.json({ id: job.id });
});
app.listen(Number(process.env.PORT), "127.0.0.1");
