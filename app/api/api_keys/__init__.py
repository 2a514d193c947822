"""Routes under /keys and GET /audit: API keys with their policies, the bodies of requests, their JSON."""
