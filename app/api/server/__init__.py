"""ASGI middleware around all routes, and the responses to paths without a route."""
