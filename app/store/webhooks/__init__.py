"""Webhook endpoints, the outbox of their events, and the queues of deliveries."""
