"""Checks on an open session: each sender at MAIL FROM, and a test message on request."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

from app.doctor import diagnosis
from app.doctor.finding import Finding, Step, failed, ok, skipped
from app.doctor.target import CheckTarget
from app.mail.explain import fill_text
from app.mail.message.address import Address
from app.mail.message.message import Submission, compose
from app.mail.outcome.attempt import Attempt, Failure, FailureKind, Phase
from app.mail.outcome.verdict import Action
from app.mail.policy import explain_for_login, judge
from app.smtp.failure import SessionError
from app.smtp.handshake import Session

_MAX_SENDERS = 10  # checked in one session
_WILD = frozenset("*?[")
_TEXT = "This is a test message, sent by `postern check`.\n\nIf you can read it, the whole path works.\n"


async def check_senders(target: CheckTarget, session: Session) -> list[Finding]:
    """Send MAIL FROM and RSET for each address; patterns are skipped."""
    patterns = [skipped(Step.SENDER, _pattern_text(sender)) for sender in target.senders if _WILD & set(sender)]
    addresses = list(dict.fromkeys([target.mailbox, target.sender.addr_spec, *_addresses(target)]))
    deadline = asyncio.get_running_loop().time() + target.step_timeouts.senders
    findings: list[Finding] = []
    for address in addresses[:_MAX_SENDERS]:
        if findings and not session.open:
            findings.append(skipped(Step.SENDER, f"{address} was not checked: the session has ended."))
        else:
            findings.append(await _try_sender(target, session, address, deadline))
    left = len(addresses) - _MAX_SENDERS
    more = [skipped(Step.SENDER, f"{left} further senders were not checked.")] if left > 0 else []
    return [*findings, *more, *patterns]


async def send_test(target: CheckTarget, session: Session, to: Address) -> Finding:
    """Send a test message: Exchange checks the Send As permission only for a whole message."""
    message = compose(
        Submission(sender=target.sender, to=(to,), subject="A test from Postern", text=_TEXT),
        id=uuid4(),
        now=datetime.fromtimestamp(target.clock.now(), UTC),
    )
    try:
        async with asyncio.timeout(target.step_timeouts.message):
            attempt = await session.send(message.envelope, message.content, _go)
    except SessionError as failed_:
        return diagnosis.failure_finding(target, Step.TEST_MESSAGE, failed_.failure)
    except TimeoutError:
        failure = Failure(session.phase, FailureKind.TIMEOUT, f"{target.host_and_port} did not answer in time.")
        return diagnosis.failure_finding(target, Step.TEST_MESSAGE, failure)
    return _test_result(target, attempt, to, message.message_id)


async def _go() -> bool:
    """Permit the final dot: a test message is not stored, so nothing is committed before it."""
    return True


def _addresses(target: CheckTarget) -> list[str]:
    return [sender for sender in target.senders if not _WILD & set(sender)]


def _pattern_text(pattern: str) -> str:
    return f"{pattern} is a pattern, so there is no address to check."


async def _try_sender(target: CheckTarget, session: Session, address: str, deadline: float) -> Finding:
    try:
        async with asyncio.timeout_at(deadline):
            reply = await session.try_sender(address)
    except SessionError as failed_:
        return diagnosis.failure_finding(target, Step.SENDER, failed_.failure)
    except TimeoutError:
        return diagnosis.failure_finding(
            target, Step.SENDER, Failure(Phase.MAIL, FailureKind.TIMEOUT, "No reply in time.")
        )
    if not reply.positive:
        return diagnosis.reply_finding(target, Step.SENDER, Phase.MAIL, reply, {"from-address": address})
    if address.lower() == target.mailbox.lower():
        return ok(Step.SENDER, f"{address} may send: it is the mailbox itself.", {"reply": str(reply)})
    return ok(
        Step.SENDER,
        f"Exchange accepts {address} at MAIL FROM. It checks the permission Send As only with a whole message.",
        {"reply": str(reply)},
    )


def _test_result(target: CheckTarget, attempt: Attempt, to: Address, message_id: str) -> Finding:
    verdict = judge(attempt, [to.addr_spec])[to.addr_spec]
    facts = {"from": target.sender.addr_spec, "message id": f"<{message_id}>", "reply": verdict.reply or ""}
    if verdict.action is Action.RELAYED:
        return ok(
            Step.TEST_MESSAGE,
            f"Office 365 has accepted a message for {to.addr_spec}. This does not mean that it was delivered.",
            facts,
        )
    known = {"mailbox": target.mailbox, "from-address": target.sender.addr_spec}
    explanation = explain_for_login(verdict.explanation, target.credentials.method)
    finding = failed(Step.TEST_MESSAGE, explanation.summary, fill_text(explanation.fix, known), facts)
    return replace(finding, cause=verdict.rule)
