"""Postern: the one gate between a company's applications and its Office 365 mail."""

__version__ = "0.1.0"
