"""Progress messages of the bench, on standard error, so that standard output has the result alone."""

from rich.console import Console

_console = Console(stderr=True, highlight=False, soft_wrap=True)


def say(line: str) -> None:
    """A line for people."""
    _console.print(line)
