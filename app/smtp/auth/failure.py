"""Errors of obtaining a credential. Their texts never contain a secret."""


class CredentialError(Exception):
    """No secret could be had. Its text is one plain sentence for a person, without any secret.

    `code` is the name by which app/mail/office365/entra knows the cause; "" when it has none.
    """

    def __init__(self, sentence: str, code: str = "") -> None:
        super().__init__(sentence)
        self.code = code


class TokenRefusedError(CredentialError):
    """The endpoint has answered no. `error` is OAuth's word for why (RFC 6749 §5.2)."""

    def __init__(self, sentence: str, code: str, error: str) -> None:
        super().__init__(sentence, code)
        self.error = error


class TransientTokenError(CredentialError):
    """No answer, or one that asks for patience. `after` is what Retry-After says, in seconds.

    `spent`: asking again at once costs as much time or memory for as little.
    """

    def __init__(
        self, sentence: str, code: str = "", retry_after: float | None = None, *, do_not_retry: bool = False
    ) -> None:
        super().__init__(sentence, code)
        self.retry_after = retry_after
        self.do_not_retry = do_not_retry


class ResponseTooLargeError(Exception):
    """The answer has more bytes than is allowed."""


class CertificateError(ValueError):
    """One plain phrase of what is wrong with the file, such as "holds no private key"."""
