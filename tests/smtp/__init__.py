"""The session to the upstream, through real sockets and real TLS."""
