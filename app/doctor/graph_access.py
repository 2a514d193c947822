"""Checks of what Postern reads in Microsoft Graph: the message trace of a tenant, non-delivery reports in a mailbox.

The steps are in the order of the set-up: token, permission with consent, request, lag of the reader.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from app.clock import Clock
from app.doctor.finding import Finding, Step, failed, ok, warn
from app.doctor.token_claims import Claims
from app.mail.explain import fill_text
from app.mail.office365.graph import MAIL_PERMISSION, MAIL_ROLE, TRACE_PERMISSION, TRACE_PRINCIPAL
from app.mail.outcome.attempt import Failure, FailureKind, Phase
from app.mail.outcome.fix_steps import numbered
from app.mail.outcome.verdict import Explanation
from app.mail.policy import judge_failure
from app.mail.times import HOUR, minute_text
from app.smtp.auth.credentials import CredentialError

TIMEOUT = 20.0  # seconds for the token, and again for the request
MAX_LAG = 1.0 * HOUR  # seconds, as in the alert PosternTraceBehind
_OK, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _THROTTLED = 200, 401, 403, 404, 429
_NAMES = {Step.TRACE: "the message trace", Step.REPORTS: "non-delivery reports"}

_GRANT_TRACE = (
    "In Postern's folder deploy/office365 run `./Register-PosternApp.ps1 -MessageTrace`. It creates what is missing "
    "and grants the permission with admin consent."
)
_GRANT_REPORTS = (
    "In Postern's folder deploy/office365 run `./Grant-PosternMailbox.ps1 -ClientId <client-id> -ObjectId <object-id> "
    f"-Mailbox <mailbox> -MailRead`. It gives the app the role {MAIL_ROLE} for the mailboxes in the command."
)
_NO_PERMISSION = Explanation(
    f"The app has no permission {TRACE_PERMISSION}: it was not added, or an administrator has not consented to it.",
    numbered(
        _GRANT_TRACE,
        "Without the script: at https://entra.microsoft.com, App registrations, the app, API permissions, add "
        f"Microsoft Graph, Application permissions, {TRACE_PERMISSION}. If it is in the list and its status is not "
        "Granted, choose Grant admin consent.",
        "Restart Postern, or wait an hour: a token that was issued before does not have the permission.",
    ),
)
_TOO_MUCH = Explanation(
    f"The app may read every mailbox of the organization: it has the permission {MAIL_PERMISSION} in Microsoft Entra.",
    numbered(
        _GRANT_REPORTS,
        "At https://entra.microsoft.com, App registrations, the app, API permissions, remove "
        f"{MAIL_PERMISSION} of Microsoft Graph.",
    ),
)
_TRACE_EXPLANATIONS: Mapping[int, Explanation] = {
    _UNAUTHORIZED: Explanation(
        "Microsoft Graph refuses the request (401): Microsoft's service for the message trace has no service principal "
        "in the organization, or it was created only some hours ago.",
        numbered(
            f"{_GRANT_TRACE} Without the script: `New-MgServicePrincipal -AppId {TRACE_PRINCIPAL}`.",
            "Wait: Microsoft may need some hours until it works. Postern tries again automatically.",
        ),
    ),
    _FORBIDDEN: Explanation(
        "Microsoft Graph refuses the request (403), although the token has the permission: Microsoft has not applied "
        "it yet, or has taken it away.",
        numbered(
            "Wait an hour: Postern tries again automatically.",
            "If it continues: at https://entra.microsoft.com, App registrations, the app, API permissions, choose "
            "Grant admin consent once more.",
        ),
    ),
    _NOT_FOUND: Explanation(
        "Microsoft Graph has no message trace at this address (404): only the worldwide cloud offers it.",
        "Set POSTERN_TRACE to false, or remove POSTERN_GRAPH_URL if the organization is in the worldwide cloud.",
    ),
}
_REPORT_EXPLANATIONS: Mapping[int, Explanation] = {
    _UNAUTHORIZED: Explanation(
        "Microsoft Graph refuses the token (401).",
        "Check that the app is registered in the organization of the mailbox (POSTERN_TENANT_ID).",
    ),
    _FORBIDDEN: Explanation(
        "The app may not read this mailbox (403).",
        numbered(
            _GRANT_REPORTS,
            "Wait: Microsoft may need 2 hours to apply the change. In PowerShell `Test-ServicePrincipalAuthorization "
            "-Identity <client-id> -Resource <mailbox>` shows it immediately.",
        ),
    ),
    _NOT_FOUND: Explanation(
        "Microsoft Graph knows no such mailbox (404).",
        "Check that the address is that of a mailbox in Exchange Online with a license.",
    ),
}


@dataclass(frozen=True, slots=True)
class GraphAnswer:
    """Answer to one request. `status` is 0 if there was none; `detail` is a sentence, "" after a success."""

    status: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class GraphTarget:
    """Reads of one app. `step` is TRACE, with a tenant in `about`, or REPORTS, with a mailbox.

    `read_until` is when the reader has read everything (epoch seconds); None if that is unknown.
    """

    step: Step
    about: str
    token: Callable[[], Awaitable[str]] = field(repr=False)  # raises CredentialError
    ask: Callable[[], Awaitable[GraphAnswer]] = field(repr=False)
    read_until: float | None = None
    clock: Clock = field(default_factory=Clock)


async def examine_graph(targets: Iterable[GraphTarget], report: Callable[[Finding], None]) -> list[Finding]:
    """Return one finding for each target, and report it. Each target gets at most one request."""
    findings = []
    for target in targets:
        findings.append(finding := replace(await _check(target), about=target.about))
        report(finding)
    return findings


async def _check(target: GraphTarget) -> Finding:
    """Return the finding of the first step that fails."""
    try:
        async with asyncio.timeout(TIMEOUT):
            claims = Claims.read(await target.token())
    except CredentialError as error:
        return _without_token(target, str(error), error.code)
    except TimeoutError:
        return _without_token(target, f"There was no reply in {TIMEOUT:g} s.", "")
    if claims and target.step is Step.TRACE and TRACE_PERMISSION not in claims.permissions:
        return _explained(target, _NO_PERMISSION, claims)
    try:
        async with asyncio.timeout(TIMEOUT):
            answer = await target.ask()
    except TimeoutError:
        answer = GraphAnswer(0, f"Microsoft Graph did not answer in {TIMEOUT:g} s.")
    if answer.status != _OK:
        return _refused(target, answer, claims)
    if claims and target.step is Step.REPORTS and MAIL_PERMISSION in claims.permissions:
        finding = _explained(target, _TOO_MUCH, claims)
        return warn(target.step, finding.summary, finding.fix, finding.facts)
    return _lag(target)


def _without_token(target: GraphTarget, detail: str, code: str) -> Finding:
    verdict = judge_failure(Failure(Phase.AUTH, FailureKind.CREDENTIAL, detail, code))
    summary = f"There is no token to read {_NAMES[target.step]}. {detail} {verdict.explanation.summary}"
    return replace(failed(target.step, summary, verdict.explanation.fix), cause=verdict.rule)


def _refused(target: GraphTarget, answer: GraphAnswer, claims: Claims | None) -> Finding:
    known = _TRACE_EXPLANATIONS if target.step is Step.TRACE else _REPORT_EXPLANATIONS
    if answer.status in known:
        return _explained(target, known[answer.status], claims)
    if answer.status == _THROTTLED:
        return warn(
            target.step,
            f"{answer.detail} Microsoft allows 100 requests in 5 minutes for the whole organization, and other "
            "programs use them too.",
            "Nothing to do: Postern waits and tries again automatically. If it continues, find the other program that "
            "reads Microsoft Graph so often.",
        )
    return warn(
        target.step,
        f"{answer.detail} So {_NAMES[target.step]} cannot be read at the moment.",
        "Nothing to do: Postern tries again automatically. If it lasts for more than an hour, check that this machine "
        "reaches Microsoft Graph, and see Health, Service health at https://admin.microsoft.com.",
    )


def _explained(target: GraphTarget, explanation: Explanation, claims: Claims | None) -> Finding:
    known = {"mailbox": target.about, **(claims.known if claims else {})}
    return failed(target.step, explanation.summary, fill_text(explanation.fix, known), claims.facts() if claims else {})


def _lag(target: GraphTarget) -> Finding:
    """Return a warning if the reader is behind; it can also be a reader that does not run."""
    summary = f"The app can read {_NAMES[target.step]}."
    if target.read_until is None:
        return ok(target.step, summary)
    facts = {"read until": minute_text(target.read_until)}
    if target.clock.now() - target.read_until <= MAX_LAG:
        return ok(target.step, summary, facts)
    return warn(
        target.step,
        f"{summary} But Postern has read it only until {minute_text(target.read_until)}.",
        numbered(
            "Check that a Postern with the role all or relay runs on this database.",
            "Read the cause under trace.failed in its log. Postern reads the gap automatically.",
        ),
        facts,
    )
