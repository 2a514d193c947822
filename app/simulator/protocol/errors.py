"""Exceptions of the SMTP server: closed connection, line too long, invalid arguments."""


class ConnectionLostError(Exception):
    """Connection closed by either side."""


class LineTooLongError(Exception):
    """Command line of more than MAX_LINE_BYTES bytes."""


class ArgumentError(Exception):
    """Invalid arguments of a command. The text is the reply."""
