// The pooled transport that both Node peers relay through: STARTTLS with a verified certificate, AUTH, 3 connections.
import { readFileSync } from "node:fs";
import nodemailer from "nodemailer";

export function pool() {
  return nodemailer.createTransport({
    pool: true,
    maxConnections: 3,
    maxMessages: Infinity, // by default a connection is replaced after 100 messages
    host: process.env.SMTP_HOST,
    port: Number(process.env.SMTP_PORT),
    secure: false,
    requireTLS: true,
    tls: { ca: readFileSync(process.env.SMTP_CA_FILE) },
    auth: { user: process.env.SMTP_USER, pass: process.env.SMTP_PASSWORD },
  });
}
