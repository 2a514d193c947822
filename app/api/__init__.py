"""HTTP API: it validates and stores emails, and shows their state. Public: the application and its context."""

from app.api.app import create_app, create_metrics_app, create_middleware, mount_routes
from app.api.context import ApiContext, RequestLimits

__all__ = ["ApiContext", "RequestLimits", "create_app", "create_metrics_app", "create_middleware", "mount_routes"]
