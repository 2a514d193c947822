"""Checks from the greeting to the SMTP extensions under TLS, on one connection without a login."""

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
_EXPECTED_EXTENSIONS = (
    "SIZE",
    "PIPELINING",
    "8BITMIME",
    "ENHANCEDSTATUSCODES",
)  # Office 365 has offered them since 2017
_STEP_BY_PHASE = {Phase.EHLO: Step.EHLO, Phase.STARTTLS: Step.STARTTLS}
_MICROSOFT = "Microsoft ESMTP"


async def check_handshake(target: CheckTarget) -> list[Finding]:
    """Return the findings of the steps up to the first failure."""
    try:
        async with asyncio.timeout(target.step_timeouts.handshake):
            end = await greet(target.with_short_timeouts)
    except SessionError as failed_:
        return [
            *_findings_before(target, failed_.dialogue, failed_.failure),
            await _unanswered(target, failed_.failure),
        ]
    except TimeoutError:
        late = Failure(
            Phase.GREETING,
            FailureKind.TIMEOUT,
            f"{target.host_and_port} did not answer in {target.step_timeouts.handshake} s.",
        )
        return [diagnosis.failure_finding(target, Step.GREETING, late)]
    if isinstance(end, Refusal):
        step = _STEP_BY_PHASE.get(end.phase, Step.GREETING)
        known = {"ehlo-name": target.upstream.ehlo_name}
        return [
            *_successful(target, end.dialogue, step),
            diagnosis.reply_finding(target, step, end.phase, end.reply, known),
        ]
    return _all(target, end)


async def _unanswered(target: CheckTarget, failure: Failure) -> Finding:
    if failure.phase is Phase.STARTTLS and failure.kind is FailureKind.CERTIFICATE:
        return certificate.untrusted_finding(target, failure, await _inspect(target))
    if failure.phase is Phase.STARTTLS and failure.kind is FailureKind.TLS:
        return certificate.no_tls_finding(target, failure, await _inspect(target))
    return diagnosis.failure_finding(target, _STEP_BY_PHASE.get(failure.phase, Step.GREETING), failure)


async def _inspect(target: CheckTarget) -> TlsInfo | None:
    """Return the TLS data of a connection without verification, or None if it fails."""
    try:
        async with asyncio.timeout(target.step_timeouts.certificate):
            shown = await inspect_certificate(target.with_short_timeouts)
    except (SessionError, TimeoutError):
        return None
    return None if isinstance(shown, Refusal) else shown


def _findings_before(target: CheckTarget, dialogue: tuple[Line, ...], failure: Failure) -> list[Finding]:
    if failure.kind is FailureKind.CERTIFICATE:
        return _successful(target, dialogue, Step.CERTIFICATE)
    return _successful(target, dialogue, _STEP_BY_PHASE.get(failure.phase, Step.GREETING))


def _successful(target: CheckTarget, dialogue: tuple[Line, ...], until: Step) -> list[Finding]:
    """Return the findings of the steps before the failed one."""
    findings: Mapping[Step, Callable[[], Finding]] = {
        Step.GREETING: lambda: _greeting(target, dialogue[0].text),
        Step.EHLO: lambda: _ehlo(target),
        Step.STARTTLS: lambda: ok(Step.STARTTLS, "The server offers STARTTLS."),
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
    if target.is_microsoft and _MICROSOFT not in banner:
        return warn(
            Step.GREETING,
            "The greeting is not Microsoft's: a device between here and Office 365 replies or rewrites SMTP.",
            f"Configure the firewall or proxy to pass {target.host_and_port} through unchanged (no SMTP inspection or "
            "fixup).",
            facts,
        )
    return ok(Step.GREETING, "The server sends a greeting.", facts)


def _ehlo(target: CheckTarget) -> Finding:
    return ok(Step.EHLO, "The server accepts the name in EHLO.", {"name": target.upstream.ehlo_name})


def _capabilities(target: CheckTarget, offered: Mapping[str, str]) -> Finding:
    facts = {"offered": ", ".join(f"{keyword} {value}".strip() for keyword, value in sorted(offered.items()))}
    if "AUTH" not in offered:
        why = WITHOUT_REPLY[FailureKind.PROTOCOL]
        return failed(Step.CAPABILITIES, "The server does not offer AUTH, even under TLS.", why.fix, facts)
    if missing := [keyword for keyword in _EXPECTED_EXTENSIONS if keyword not in offered]:
        return warn(
            Step.CAPABILITIES,
            f"The server does not offer {', '.join(missing)}, which Office 365 always does.",
            f"Check that {target.host_and_port} is the submission host; a proxy that rewrites SMTP removes extensions.",
            facts,
        )
    largest = int(offered["SIZE"]) if offered["SIZE"].isdigit() else 0  # 0: no fixed limit (RFC 1870 §4)
    if 0 < largest < target.max_message_bytes:
        return warn(
            Step.CAPABILITIES,
            f"The server accepts messages of {largest} bytes at most, Postern of {target.max_message_bytes}.",
            f"Set POSTERN_MAX_MESSAGE_BYTES={largest}, so that Postern rejects larger messages immediately.",
            facts,
        )
    return ok(Step.CAPABILITIES, "The server offers what Postern needs.", facts)
