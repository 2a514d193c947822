"""Pages of the webhooks and their deliveries."""
