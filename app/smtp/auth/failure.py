"""Exceptions of obtaining credentials. Their texts never contain a secret."""


class CredentialError(Exception):
    """Credential that is not available. The text is one sentence for people.

    `code` is the key of the cause in app/mail/office365/entra.py, or "".
    """

    def __init__(self, sentence: str, code: str = "") -> None:
        super().__init__(sentence)
        self.code = code


class TokenRefusedError(CredentialError):
    """Refusal of the token endpoint. `error` is the OAuth error code (RFC 6749 §5.2)."""

    def __init__(self, sentence: str, code: str, error: str) -> None:
        super().__init__(sentence, code)
        self.error = error


class TransientTokenError(CredentialError):
    """Failure of a token request that can succeed later. `retry_after` is the Retry-After header in seconds.

    `do_not_retry`: an immediate retry would cost as much time or memory again, as after a timeout.
    """

    def __init__(
        self, sentence: str, code: str = "", retry_after: float | None = None, *, do_not_retry: bool = False
    ) -> None:
        super().__init__(sentence, code)
        self.retry_after = retry_after
        self.do_not_retry = do_not_retry


class ResponseTooLargeError(Exception):
    """Response of a token endpoint that exceeds the size limit."""


class CertificateError(ValueError):
    """Unusable certificate file. The text is a predicate, such as "holds no private key"."""
