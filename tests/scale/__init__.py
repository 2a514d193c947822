"""A thousand mailboxes and twenty replicas over a real PostgreSQL: what they reach, and what they ask of it.

The replicas are the product's own fleets, relays and stores; only Exchange is a stand-in (exchange.py).
"""
