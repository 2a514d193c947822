"""HTTP API: emails, mailboxes, webhooks, suppressions, API keys, health checks and metrics."""
