"""Exchange's message trace from outside: the delivery of emails that Exchange has accepted."""
