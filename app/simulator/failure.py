"""Exceptions that end a command or a connection of the simulator."""


class ConnectionLostError(Exception):
    """Closed connection, by either side."""


class LineTooLongError(Exception):
    """Command line of more than LINE_LIMIT bytes."""


class ArgumentError(Exception):
    """Invalid arguments of a command. The text is the reply."""
