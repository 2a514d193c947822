"""Queries of messages and numbers for people, the API and metrics. They write nothing."""
