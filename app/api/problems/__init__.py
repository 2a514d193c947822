"""Error responses of the API, by subject."""
