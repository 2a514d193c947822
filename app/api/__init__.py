"""The inbound edge: HTTP in, a commit, an answer. Never sees SMTP and never waits for a relay."""

from app.api.app import create_app, create_metrics_app, create_middleware, mount_routes
from app.api.context import ApiContext, Limits

__all__ = ["ApiContext", "Limits", "create_app", "create_metrics_app", "create_middleware", "mount_routes"]
