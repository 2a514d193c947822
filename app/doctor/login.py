"""The credential and the one login of an examination."""

import asyncio
from dataclasses import dataclass, replace

from app.doctor import diagnosis
from app.doctor.certificate import day
from app.doctor.finding import Finding, Outcome, Step, ok, warn
from app.doctor.target import CheckTarget
from app.doctor.token_claims import Claims, judge
from app.mail.credential_expiry import CredentialExpiry
from app.mail.outcome.attempt import Failure, FailureKind, Phase
from app.smtp.auth.credentials import Mechanism, Secret
from app.smtp.auth.failure import CredentialError
from app.smtp.failure import SessionError
from app.smtp.handshake import Refusal, Session, open_session

_SOON = 30 * 86_400.0  # seconds


@dataclass(frozen=True, slots=True)
class FixedCredentials:
    """A credential that has been had already: nobody is asked for a token twice."""

    it: Secret

    async def secret(self) -> Secret:
        """The same one."""
        return self.it

    def reject(self, secret: Secret) -> bool:
        """There is no other one: one examination is one login."""
        return False

    def expiry(self) -> CredentialExpiry | None:
        """Asked of whom it comes from."""
        return None


async def credential(case: CheckTarget) -> tuple[Finding, Secret | None]:
    """The secret, and what can be said of it without showing it."""
    try:
        async with asyncio.timeout(case.bounds.credential):
            secret = await case.credentials.secret()
    except CredentialError as error:
        return _unavailable(case, str(error), error.code), None
    except TimeoutError:
        return _unavailable(case, f"There was no answer in {case.bounds.credential:g} s."), None
    finding = _token(case, secret.value) if secret.mechanism is Mechanism.XOAUTH2 else _PASSWORD
    return (_ends(case, finding) if finding.outcome is Outcome.OK else finding), secret


async def log_in(case: CheckTarget, secret: Secret) -> tuple[Finding, Session | None]:
    """One AUTH, and no second one whatever comes of it."""
    try:
        async with asyncio.timeout(case.bounds.login):
            end = await open_session(case.with_short_timeouts, FixedCredentials(secret))
    except SessionError as failed:
        return diagnosis.of_failure(case, Step.AUTH, failed.failure), None
    except TimeoutError:
        late = Failure(Phase.AUTH, FailureKind.TIMEOUT, f"{case.where} did not answer in {case.bounds.login:g} s.")
        return diagnosis.of_failure(case, Step.AUTH, late), None
    if isinstance(end, Refusal):
        return diagnosis.of_reply(case, Step.AUTH, end.phase, end.reply, _known(secret)), None
    facts = {"mailbox": secret.username, "mechanism": f"AUTH {secret.mechanism}"}
    return ok(Step.AUTH, "The mailbox is logged in.", facts), end


_PASSWORD = ok(Step.CREDENTIAL, "There is a password.")


def _unavailable(case: CheckTarget, detail: str, code: str = "") -> Finding:
    return diagnosis.of_failure(case, Step.CREDENTIAL, Failure(Phase.AUTH, FailureKind.CREDENTIAL, detail, code))


def _ends(case: CheckTarget, finding: Finding) -> Finding:
    """A warning if the credential ends soon, or if its end has been announced."""
    ending = case.credentials.expiry()
    if ending is None or not (ending.announced or ending.at - case.clock.now() < _SOON):
        return finding
    why = ending.explanation
    facts = {**finding.facts, f"the {ending.what} ends": day(ending.at)}
    fix = diagnosis.fill_placeholders(why.fix, {"mailbox": case.mailbox})
    return warn(Step.CREDENTIAL, f"{finding.summary} {why.summary}", fix, facts)


def _token(case: CheckTarget, token: str) -> Finding:
    claims = Claims.read(token)
    if claims is None:
        return ok(Step.CREDENTIAL, "There is a token. It cannot be read here; Exchange will say whether it is good.")
    finding = judge(claims, case.clock.now())
    return replace(finding, fix=diagnosis.fill_placeholders(finding.fix, {"mailbox": case.mailbox, **claims.known}))


def _known(secret: Secret) -> dict[str, str]:
    claims = Claims.read(secret.value) if secret.mechanism is Mechanism.XOAUTH2 else None
    return dict(claims.known) if claims else {}
