"""Error responses of Graph, and those that a test scripts."""


class GraphError(Exception):
    """Error response of Graph. `retry_after` is in seconds."""

    def __init__(self, status: int, code: str, text: str, retry_after: int | None = None) -> None:
        super().__init__(text)
        self.status, self.code, self.text, self.retry_after = status, code, text, retry_after


class ScriptedErrors:
    """Errors that the next requests get."""

    def __init__(self) -> None:
        self._errors: list[GraphError] = []

    def add(self, status: int, times: int, retry_after: int | None) -> None:
        """Answer the next `times` requests with this status."""
        self._errors += [GraphError(status, "ScriptedFailure", "A scripted failure.", retry_after)] * times

    def check(self) -> None:
        """Raise the next error, if there is one."""
        if self._errors:
            raise self._errors.pop(0)
