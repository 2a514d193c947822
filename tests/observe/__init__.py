"""Metrics of a running Postern, queried by Prometheus."""
