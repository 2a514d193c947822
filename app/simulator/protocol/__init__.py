"""SMTP without state: the transport of one connection, argument grammar, content checks, replies of Exchange."""
