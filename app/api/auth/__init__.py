"""Authentication by API key (`authenticator`), limits of a caller (`limits`), audit of refusals (`refusal_audit`)."""
