"""Mailboxes: their conditions, the replicas that own them, and the daily quota of a tenant."""
