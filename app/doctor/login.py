"""The credential and the one login of an examination."""

import asyncio
from dataclasses import dataclass, replace

from app.doctor import diagnosis
from app.doctor.finding import Finding, Outcome, Step, ok, warn
from app.doctor.target import CheckTarget
from app.doctor.token_claims import Claims, check_claims
from app.mail.credential_expiry import CredentialExpiry
from app.mail.explain import fill_text
from app.mail.outcome.attempt import Failure, FailureKind, Phase
from app.mail.time_units import DAY
from app.mail.timestamps import minute_text
from app.smtp.auth.credentials import Mechanism, Secret
from app.smtp.auth.failure import CredentialError
from app.smtp.failure import SessionError
from app.smtp.handshake import Refusal, Session, open_session

_SOON = 30 * DAY  # seconds


@dataclass(frozen=True, slots=True)
class FixedCredentials:
    """A credential that has been had already: nobody is asked for a token twice."""

    value: Secret

    async def secret(self) -> Secret:
        """The same one."""
        return self.value

    def reject(self, secret: Secret) -> bool:
        """There is no other one: one examination is one login."""
        return False

    def expiry(self) -> CredentialExpiry | None:
        """Asked of whom it comes from."""
        return None


async def check_credential(target: CheckTarget) -> tuple[Finding, Secret | None]:
    """The secret, and what can be said of it without showing it."""
    try:
        async with asyncio.timeout(target.step_timeouts.credential):
            secret = await target.credentials.secret()
    except CredentialError as error:
        return _unavailable(target, str(error), error.code), None
    except TimeoutError:
        return _unavailable(target, f"There was no answer in {target.step_timeouts.credential:g} s."), None
    finding = _token(target, secret.value) if secret.mechanism is Mechanism.XOAUTH2 else _PASSWORD
    return (_ends(target, finding) if finding.outcome is Outcome.OK else finding), secret


async def check_login(target: CheckTarget, secret: Secret) -> tuple[Finding, Session | None]:
    """One AUTH, and no second one whatever comes of it."""
    try:
        async with asyncio.timeout(target.step_timeouts.login):
            end = await open_session(target.with_short_timeouts, FixedCredentials(secret))
    except SessionError as failed:
        return diagnosis.of_failure(target, Step.AUTH, failed.failure), None
    except TimeoutError:
        late = Failure(
            Phase.AUTH, FailureKind.TIMEOUT, f"{target.where} did not answer in {target.step_timeouts.login:g} s."
        )
        return diagnosis.of_failure(target, Step.AUTH, late), None
    if isinstance(end, Refusal):
        return diagnosis.of_reply(target, Step.AUTH, end.phase, end.reply, _known(secret)), None
    facts = {"mailbox": secret.username, "mechanism": f"AUTH {secret.mechanism}"}
    return ok(Step.AUTH, "The mailbox is logged in.", facts), end


_PASSWORD = ok(Step.CREDENTIAL, "There is a password.")


def _unavailable(target: CheckTarget, detail: str, code: str = "") -> Finding:
    return diagnosis.of_failure(target, Step.CREDENTIAL, Failure(Phase.AUTH, FailureKind.CREDENTIAL, detail, code))


def _ends(target: CheckTarget, finding: Finding) -> Finding:
    """A warning if the credential ends soon, or if its end has been announced."""
    ending = target.credentials.expiry()
    if ending is None or not (ending.announced or ending.at - target.clock.now() < _SOON):
        return finding
    why = ending.explanation
    facts = {**finding.facts, f"the {ending.what} ends": minute_text(ending.at)}
    fix = fill_text(why.fix, {"mailbox": target.mailbox})
    return warn(Step.CREDENTIAL, f"{finding.summary} {why.summary}", fix, facts)


def _token(target: CheckTarget, token: str) -> Finding:
    claims = Claims.read(token)
    if claims is None:
        return ok(Step.CREDENTIAL, "There is a token. It cannot be read here; Exchange will say whether it is good.")
    finding = check_claims(claims, target.clock.now())
    return replace(finding, fix=fill_text(finding.fix, {"mailbox": target.mailbox, **claims.known}))


def _known(secret: Secret) -> dict[str, str]:
    claims = Claims.read(secret.value) if secret.mechanism is Mechanism.XOAUTH2 else None
    return dict(claims.known) if claims else {}
