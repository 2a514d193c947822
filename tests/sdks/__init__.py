"""Official SDKs, each version in its own environment, with only their base URL changed."""
