"""API keys, usage of their rate limits, ended sessions of the console, and the audit."""
