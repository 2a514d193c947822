"""Checks of the credential and of the login: one secret and one login per diagnosis."""

import asyncio
from dataclasses import dataclass, replace

from app.doctor import diagnosis
from app.doctor.finding import Finding, Step, StepOutcome, ok, warn
from app.doctor.target import CheckTarget
from app.doctor.token_claims import Claims, check_claims
from app.mail.credential_expiry import CredentialExpiry
from app.mail.explain import fill_text
from app.mail.outcome.attempt import Failure, FailureKind, Phase
from app.mail.outcome.verdict import LoginMethod
from app.mail.times import DAY, minute_text
from app.smtp.auth.credentials import CredentialError, LoginSecret, Mechanism
from app.smtp.failure import SessionError
from app.smtp.handshake import Refusal, Session, open_session

_EXPIRES_SOON = 30 * DAY  # seconds


@dataclass(frozen=True, slots=True)
class FixedCredentials:
    """Credential source that returns a secret obtained before, so that no second token is requested."""

    value: LoginSecret

    @property
    def method(self) -> LoginMethod:
        """Method of the login."""
        return LoginMethod.OAUTH if self.value.mechanism is Mechanism.XOAUTH2 else LoginMethod.PASSWORD

    async def secret(self) -> LoginSecret:
        """Return the secret."""
        return self.value

    def reject(self, secret: LoginSecret) -> bool:
        """Return False: there is no other secret, and a diagnosis logs in once."""
        return False

    def expiry(self) -> CredentialExpiry | None:
        """Return None: the original credential source knows the expiry."""
        return None


async def check_credential(target: CheckTarget) -> tuple[Finding, LoginSecret | None]:
    """Return the finding about the credential, without the secret in it, and the secret."""
    try:
        async with asyncio.timeout(target.step_timeouts.credential):
            secret = await target.credentials.secret()
    except CredentialError as error:
        return _unavailable(target, str(error), error.code), None
    except TimeoutError:
        return _unavailable(target, f"There was no reply in {target.step_timeouts.credential:g} s."), None
    finding = _token(target, secret.value) if secret.mechanism is Mechanism.XOAUTH2 else _PASSWORD
    return (_ends(target, finding) if finding.outcome is StepOutcome.OK else finding), secret


async def check_login(target: CheckTarget, secret: LoginSecret) -> tuple[Finding, Session | None]:
    """Log in with a single AUTH and return the finding and the session."""
    try:
        async with asyncio.timeout(target.step_timeouts.login):
            end = await open_session(target.with_short_timeouts, FixedCredentials(secret))
    except SessionError as failed:
        return diagnosis.failure_finding(target, Step.AUTH, failed.failure), None
    except TimeoutError:
        late = Failure(
            Phase.AUTH,
            FailureKind.TIMEOUT,
            f"{target.host_and_port} did not answer in {target.step_timeouts.login:g} s.",
        )
        return diagnosis.failure_finding(target, Step.AUTH, late), None
    if isinstance(end, Refusal):
        return diagnosis.reply_finding(target, Step.AUTH, end.phase, end.reply, _known(secret)), None
    facts = {"mailbox": secret.username, "mechanism": f"AUTH {secret.mechanism}"}
    return ok(Step.AUTH, "The login succeeded.", facts), end


_PASSWORD = ok(Step.CREDENTIAL, "A password is set.")


def _unavailable(target: CheckTarget, detail: str, code: str = "") -> Finding:
    return diagnosis.failure_finding(target, Step.CREDENTIAL, Failure(Phase.AUTH, FailureKind.CREDENTIAL, detail, code))


def _ends(target: CheckTarget, finding: Finding) -> Finding:
    """Return a warning instead of `finding` if the credential expires soon or its end was announced."""
    ending = target.credentials.expiry()
    if ending is None or not (ending.announced or ending.at - target.clock.now() < _EXPIRES_SOON):
        return finding
    why = ending.explanation
    facts = {**finding.facts, f"the {ending.what} expires": minute_text(ending.at)}
    fix = fill_text(why.fix, {"mailbox": target.mailbox})
    return warn(Step.CREDENTIAL, f"{finding.summary} {why.summary}", fix, facts)


def _token(target: CheckTarget, token: str) -> Finding:
    claims = Claims.read(token)
    if claims is None:
        return ok(Step.CREDENTIAL, "Postern has a token. It is not readable here; the login shows whether it is valid.")
    finding = check_claims(claims, target.clock.now())
    return replace(finding, fix=fill_text(finding.fix, {"mailbox": target.mailbox, **claims.known}))


def _known(secret: LoginSecret) -> dict[str, str]:
    claims = Claims.read(secret.value) if secret.mechanism is Mechanism.XOAUTH2 else None
    return dict(claims.known) if claims else {}
