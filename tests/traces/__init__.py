"""Traces, recorded in memory and by a real OTLP receiver."""
