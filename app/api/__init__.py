"""HTTP API: emails, mailboxes, webhooks, suppressions, API keys, health checks and metrics.

Public: the functions that build the ASGI applications, their dependencies and their limits.
"""

from app.api.app import create_app, create_metrics_app, create_middleware, mount_routes
from app.api.context import ApiContext, RequestLimits

__all__ = ["ApiContext", "RequestLimits", "create_app", "create_metrics_app", "create_middleware", "mount_routes"]
