"""Embedded HTTP server (`server`) with connection limits (`connection_limits`)."""
