"""From the greeting to what is offered under TLS, on one connection without a login."""

import asyncio
from collections.abc import Callable, Mapping

from app.doctor import certificate, diagnosis
from app.doctor.finding import Finding, Step, failed, ok, warn
from app.doctor.target import CheckTarget
from app.mail.outcome.attempt import Failure, FailureKind, Line, Phase
from app.mail.policy import WITHOUT_REPLY
from app.smtp.failure import SessionError
from app.smtp.handshake import Refusal, ServerInfo, TlsInfo, greet, inspect_certificate

STEPS = (Step.GREETING, Step.EHLO, Step.STARTTLS, Step.CERTIFICATE, Step.CAPABILITIES)
_ALWAYS = ("SIZE", "PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES")  # what Office 365 has offered since 2017
_OF_PHASE = {Phase.EHLO: Step.EHLO, Phase.STARTTLS: Step.STARTTLS}
_MICROSOFT = "Microsoft ESMTP"


async def check_handshake(target: CheckTarget) -> list[Finding]:
    """The steps as far as they come; the last one may have failed."""
    try:
        async with asyncio.timeout(target.step_timeouts.handshake):
            end = await greet(target.with_short_timeouts)
    except SessionError as failed_:
        return [*_before(target, failed_.dialogue, failed_.failure), await _unanswered(target, failed_.failure)]
    except TimeoutError:
        late = Failure(
            Phase.GREETING, FailureKind.TIMEOUT, f"{target.where} did not answer in {target.step_timeouts.handshake} s."
        )
        return [diagnosis.of_failure(target, Step.GREETING, late)]
    if isinstance(end, Refusal):
        step = _OF_PHASE.get(end.phase, Step.GREETING)
        known = {"ehlo-name": target.upstream.ehlo_name}
        return [*_done(target, end.dialogue, step), diagnosis.of_reply(target, step, end.phase, end.reply, known)]
    return _all(target, end)


async def _unanswered(target: CheckTarget, failure: Failure) -> Finding:
    if failure.phase is Phase.STARTTLS and failure.kind is FailureKind.CERTIFICATE:
        return certificate.untrusted_finding(target, failure, await _look(target))
    if failure.phase is Phase.STARTTLS and failure.kind is FailureKind.TLS:
        return certificate.no_tls_finding(target, failure, await _look(target))
    return diagnosis.of_failure(target, _OF_PHASE.get(failure.phase, Step.GREETING), failure)


async def _look(target: CheckTarget) -> TlsInfo | None:
    """What is shown to somebody who believes everybody."""
    try:
        async with asyncio.timeout(target.step_timeouts.certificate):
            shown = await inspect_certificate(target.with_short_timeouts)
    except (SessionError, TimeoutError):
        return None
    return None if isinstance(shown, Refusal) else shown


def _before(target: CheckTarget, dialogue: tuple[Line, ...], failure: Failure) -> list[Finding]:
    if failure.kind is FailureKind.CERTIFICATE:
        return _done(target, dialogue, Step.CERTIFICATE)
    return _done(target, dialogue, _OF_PHASE.get(failure.phase, Step.GREETING))


def _done(target: CheckTarget, dialogue: tuple[Line, ...], until: Step) -> list[Finding]:
    """What worked before the step that did not."""
    findings: Mapping[Step, Callable[[], Finding]] = {
        Step.GREETING: lambda: _greeting(target, dialogue[0].text),
        Step.EHLO: lambda: _ehlo(target),
        Step.STARTTLS: lambda: ok(Step.STARTTLS, "STARTTLS is offered."),
    }
    return [findings[step]() for step in STEPS[: STEPS.index(until)]]


def _all(target: CheckTarget, greeted: ServerInfo) -> list[Finding]:
    shown = greeted.tls
    return [
        _greeting(target, greeted.banner),
        _ehlo(target),
        ok(Step.STARTTLS, f"The connection is encrypted with {shown.version}.", {"cipher": shown.cipher}),
        certificate.trusted_finding(target, shown),
        _capabilities(target, greeted.extensions),
    ]


def _greeting(target: CheckTarget, banner: str) -> Finding:
    facts = {"banner": banner}
    if target.at_microsoft and _MICROSOFT not in banner:
        return warn(
            Step.GREETING,
            "A server greets, but not in Microsoft's words: something between here and Office 365 answers or rewrites "
            "SMTP.",
            f"Have the firewall or proxy pass {target.where} through untouched (SMTP inspection, often called fixup).",
            facts,
        )
    return ok(Step.GREETING, "A server greets.", facts)


def _ehlo(target: CheckTarget) -> Finding:
    return ok(Step.EHLO, "The server accepts the name in EHLO.", {"name": target.upstream.ehlo_name})


def _capabilities(target: CheckTarget, offered: Mapping[str, str]) -> Finding:
    facts = {"offered": ", ".join(f"{keyword} {value}".strip() for keyword, value in sorted(offered.items()))}
    if "AUTH" not in offered:
        why = WITHOUT_REPLY[FailureKind.PROTOCOL]
        return failed(Step.CAPABILITIES, "The server offers no login (AUTH), even under TLS.", why.fix, facts)
    if missing := [keyword for keyword in _ALWAYS if keyword not in offered]:
        return warn(
            Step.CAPABILITIES,
            f"The server does not offer {', '.join(missing)}, which Office 365 always does.",
            f"Check that {target.where} is the submission host; a proxy that rewrites SMTP takes such things away.",
            facts,
        )
    largest = int(offered["SIZE"]) if offered["SIZE"].isdigit() else 0  # 0: no fixed limit (RFC 1870 §4)
    if 0 < largest < target.max_message_bytes:
        return warn(
            Step.CAPABILITIES,
            f"The server takes messages of {largest} octets at most, Postern of {target.max_message_bytes}.",
            f"Set POSTERN_MAX_MESSAGE_BYTES={largest}, so that a message that is too large is refused at once.",
            facts,
        )
    return ok(Step.CAPABILITIES, "The server offers what Postern needs.", facts)
