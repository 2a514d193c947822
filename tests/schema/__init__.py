"""Requests that are made from the specification, by the thousand."""
