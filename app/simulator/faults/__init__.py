"""Fault injection: scripted failures of the simulated server. Public names are in app.simulator."""
