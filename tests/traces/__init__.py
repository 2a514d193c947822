"""Traces: by the SDK's own memory, and by a real receiver of OTLP."""
