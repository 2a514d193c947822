"""HTML pages with the received messages, for people who develop an application that sends mail."""

from app.simulator.inbox.routes import inbox
