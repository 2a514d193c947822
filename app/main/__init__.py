"""Composition root: builds the parts of a Postern from the settings, starts and stops them."""

from app.main.postern import Postern
from app.main.process import configure_logs, serve, stop_signal
