"""Findings from replies and failures, with the explanations of `app.mail.policy`.

Some explanations are replaced, because they concern a waiting message or advise to run `postern check`.
"""

from collections.abc import Mapping
from dataclasses import replace

from app.doctor.finding import Finding, Step, failed
from app.doctor.target import CheckTarget
from app.mail.explain import fill_text
from app.mail.outcome.attempt import LOGIN_PHASES, Failure, FailureKind, Phase, Reply
from app.mail.outcome.fix_steps import numbered, steps_of
from app.mail.outcome.verdict import Explanation
from app.mail.policy import explain_for_login, judge_failure, judge_reply

_AGAIN = "Run `postern check` again."
_AFTER_EHLO = frozenset({Phase.AUTH, Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.CONTENT, Phase.DOT})
_UNSUPPORTED_MECHANISM = Reply.of(504, ["5.7.4 Unrecognized authentication type"])
_SLOW = numbered(_AGAIN, "If that fails too, see Health, Service health at https://admin.microsoft.com.")


def reply_finding(
    target: CheckTarget, step: Step, phase: Phase, reply: Reply, known: Mapping[str, str] | None = None
) -> Finding:
    """Return the finding of a refusal. `known` has values for further <names> of the fix."""
    verdict = judge_reply(phase, reply)
    explanation = explain_for_login(verdict.explanation, target.credentials.method)
    fix = fill_text(explanation.fix, {"mailbox": target.mailbox, **(known or {})})
    fix = numbered(*steps_of(_without_nothing(fix)), _AGAIN) if reply.transient else fix
    return replace(failed(step, explanation.summary, fix, {"reply": str(reply)}), cause=verdict.rule)


def _without_nothing(fix: str) -> str:
    """Return a fix without a first sentence that says that there is nothing to do, as for a waiting message."""
    return fix.partition(". ")[2] if fix.startswith("Nothing to do") else fix


def failure_finding(target: CheckTarget, step: Step, failure: Failure) -> Finding:
    """Return the finding of a failure without a reply: the observation, then its explanation."""
    verdict = judge_failure(failure)
    explanation = _specific(target, failure) or verdict.explanation
    fix = fill_text(explanation.fix, {"mailbox": target.mailbox})
    return replace(failed(step, f"{failure.detail} {explanation.summary}".strip(), fix), cause=verdict.rule)


def how_to_test(target: CheckTarget) -> str:
    """Return instructions to find out whether this machine or its network blocks the connection."""
    host, port = target.upstream.host, target.upstream.port
    return numbered(
        f"Test the connection from this machine with `nc -vz -w 10 {host} {port}`, on Windows with `Test-NetConnection "
        f"{host} -Port {port}`, and then in the same way from another network.",
        f"If it works only from there: ask the administrator of this machine's network or cloud to allow outbound TCP "
        f"{port} to {host}.",
    )


def _specific(target: CheckTarget, failure: Failure) -> Explanation | None:
    if failure.phase is Phase.CONNECT:
        return _connect_failure(target, failure)
    match failure.kind:
        case FailureKind.TIMEOUT if failure.phase in LOGIN_PHASES - _AFTER_EHLO:
            return Explanation(
                "The connection opens, but the server sends no SMTP greeting: a firewall or a proxy blocks it.",
                f"Configure it to pass {target.host_and_port} through unchanged.",
            )
        case FailureKind.CLOSED if failure.phase in LOGIN_PHASES - _AFTER_EHLO:
            return Explanation(
                "The connection opens and is closed before a login: by a firewall or a proxy that blocks SMTP, or by "
                "a server that restarts.",
                numbered(
                    _AGAIN,
                    f"If that fails too: configure firewalls and proxies to pass {target.host_and_port} unchanged.",
                ),
            )
        case FailureKind.CAPABILITY if failure.phase is Phase.AUTH:
            return judge_reply(Phase.AUTH, _UNSUPPORTED_MECHANISM).explanation
        case FailureKind.TIMEOUT | FailureKind.CLOSED if not failure.in_doubt:
            return Explanation("Office 365 was reached, but did not finish its reply.", _SLOW)
        case _:
            return None


def _connect_failure(target: CheckTarget, failure: Failure) -> Explanation | None:
    match failure.kind:
        case FailureKind.TIMEOUT:
            return Explanation(
                f"There is no response, not even a refusal: a firewall blocks outbound TCP {target.upstream.port}.",
                how_to_test(target),
            )
        case FailureKind.UNREACHABLE:
            return Explanation("This machine has no route to the server.", how_to_test(target))
        case _:
            return None
