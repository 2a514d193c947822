"""SMTP client. Public: `handshake`, `session`, `pool`, `login_gate`, `auth`, `tls`, `timeouts`, `failure`."""
