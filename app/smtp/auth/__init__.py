"""Credentials for SMTP AUTH: passwords, and access tokens from Microsoft Entra ID."""
