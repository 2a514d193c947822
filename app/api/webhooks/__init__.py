"""Routes under /webhooks: endpoints, their events and the attempts to deliver them."""
