"""Checks of the senders' domains in DNS: `records` has the checks, `spf` evaluates SPF, `dns_client` sends queries."""
