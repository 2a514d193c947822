"""SMTP session of one connection: its state, the command loop, and the handler of each command."""
