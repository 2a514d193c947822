"""A thousand mailboxes and twenty replicas on a real PostgreSQL: throughput and load of the database.

The replicas are the product's own coordinators, relays and stores; only Exchange is a stand-in (exchange.py).
"""
