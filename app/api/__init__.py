"""The inbound edge: HTTP in, a commit, an answer. Never sees SMTP and never waits for a relay."""

from app.api.app import create_app, create_entrance, create_metrics_app, lead
from app.api.edge import Edge, Limits

__all__ = ["Edge", "Limits", "create_app", "create_entrance", "create_metrics_app", "lead"]
