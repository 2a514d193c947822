"""Measurements of one contestant, each made once."""
