"""Delivery of webhook events. Public: dispatcher.WebhookDispatcher, sender.WebhookSender."""
