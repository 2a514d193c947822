"""SMTP sessions to the upstream over real sockets and TLS."""
