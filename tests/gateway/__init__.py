"""Postern behind the gateways of deploy/gateway."""
