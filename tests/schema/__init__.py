"""Requests generated from the specification."""
