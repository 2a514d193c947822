"""Rules of webhooks (`rules`), their events as JSON (`payload`), and public IP addresses (`public_address`)."""
