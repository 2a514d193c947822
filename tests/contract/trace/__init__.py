"""Exchange's message trace from outside: what becomes of emails after Exchange has accepted them."""
