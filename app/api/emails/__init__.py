"""Routes under /emails: submission, reading, attachments, decisions of an operator, erasure; JSON of an email."""
