"""The official SDKs, each version in an environment of its own, with nothing changed but where they go."""
