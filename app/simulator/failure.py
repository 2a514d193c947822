"""Errors that end a command or a connection of the simulator."""


class ConnectionLostError(Exception):
    """The connection is gone, from either side."""


class LineTooLongError(Exception):
    """The client sent more than LINE_LIMIT octets without CRLF."""


class ArgumentError(Exception):
    """The arguments are not acceptable; the message is the reply."""
