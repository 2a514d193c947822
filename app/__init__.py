"""Postern: HTTP relay between the applications of a company and its Office 365 mail."""

__version__ = "0.1.0"
