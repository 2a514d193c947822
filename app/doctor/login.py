"""The credential and the one login of an examination."""

import asyncio
from dataclasses import dataclass, replace

from app.doctor import causes
from app.doctor.case import Case
from app.doctor.certificate import day
from app.doctor.claims import Claims, judge
from app.doctor.finding import Finding, Outcome, Step, ok, warn
from app.mail.attempt import Failure, FailureKind, Phase
from app.mail.ending import Ending
from app.smtp.credentials import CredentialUnavailable, Mechanism, Secret
from app.smtp.session import Refused, Session, SessionFailed, open_session

_SOON = 30 * 86_400.0  # seconds


@dataclass(frozen=True, slots=True)
class AtHand:
    """A credential that has been had already: nobody is asked for a token twice."""

    it: Secret

    async def secret(self) -> Secret:
        """The same one."""
        return self.it

    def refused(self, secret: Secret) -> bool:
        """There is no other one: one examination is one login."""
        return False

    def ending(self) -> Ending | None:
        """Asked of whom it comes from."""
        return None


async def credential(case: Case) -> tuple[Finding, Secret | None]:
    """The secret, and what can be said of it without showing it."""
    try:
        async with asyncio.timeout(case.bounds.credential):
            secret = await case.credentials.secret()
    except CredentialUnavailable as error:
        return _unavailable(case, str(error), error.code), None
    except TimeoutError:
        return _unavailable(case, f"There was no answer in {case.bounds.credential:g} s."), None
    finding = _token(case, secret.value) if secret.mechanism is Mechanism.XOAUTH2 else _PASSWORD
    return (_ends(case, finding) if finding.outcome is Outcome.OK else finding), secret


async def log_in(case: Case, secret: Secret) -> tuple[Finding, Session | None]:
    """One AUTH, and no second one whatever comes of it."""
    try:
        async with asyncio.timeout(case.bounds.login):
            end = await open_session(case.impatient, AtHand(secret))
    except SessionFailed as failed:
        return causes.of_failure(case, Step.AUTH, failed.failure), None
    except TimeoutError:
        late = Failure(Phase.AUTH, FailureKind.TIMEOUT, f"{case.where} did not answer in {case.bounds.login:g} s.")
        return causes.of_failure(case, Step.AUTH, late), None
    if isinstance(end, Refused):
        return causes.of_reply(case, Step.AUTH, end.phase, end.reply, _known(secret)), None
    facts = {"mailbox": secret.username, "mechanism": f"AUTH {secret.mechanism}"}
    return ok(Step.AUTH, "The mailbox is logged in.", facts), end


_PASSWORD = ok(Step.CREDENTIAL, "There is a password.")


def _unavailable(case: Case, detail: str, code: str = "") -> Finding:
    return causes.of_failure(case, Step.CREDENTIAL, Failure(Phase.AUTH, FailureKind.CREDENTIAL, detail, code))


def _ends(case: Case, finding: Finding) -> Finding:
    """A warning if the credential ends soon, or if its end has been announced."""
    ending = case.credentials.ending()
    if ending is None or not (ending.announced or ending.at - case.clock.now() < _SOON):
        return finding
    why = ending.explanation
    facts = {**finding.facts, f"the {ending.what} ends": day(ending.at)}
    fix = causes.filled(why.fix, {"mailbox": case.mailbox})
    return warn(Step.CREDENTIAL, f"{finding.summary} {why.summary}", fix, facts)


def _token(case: Case, token: str) -> Finding:
    claims = Claims.read(token)
    if claims is None:
        return ok(Step.CREDENTIAL, "There is a token. It cannot be read here; Exchange will say whether it is good.")
    finding = judge(claims, case.clock.now())
    return replace(finding, fix=causes.filled(finding.fix, {"mailbox": case.mailbox, **claims.known}))


def _known(secret: Secret) -> dict[str, str]:
    claims = Claims.read(secret.value) if secret.mechanism is Mechanism.XOAUTH2 else None
    return dict(claims.known) if claims else {}
