"""HTML pages with the received messages, for people who develop an application that sends mail.

Public: inbox, the router.
"""

from app.simulator.inbox.routes import inbox

__all__ = ["inbox"]
