"""Base classes of the errors that an operator can fix. Each text is one line with the cause and its fix."""


class ConfigurationError(Exception):
    """A setting is wrong."""


class UnavailableError(Exception):
    """A database, port or file is not available."""
