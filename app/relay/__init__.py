"""Relay: claims queued messages and sends them to Office 365, without any knowledge of HTTP requests.

Public: coordinator.MailboxCoordinator.
"""
