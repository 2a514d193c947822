"""A refusal or a silence as a finding: policy's words, with the names this machine knows put into them.

Own words stand here only where policy speaks of a message that waits, or sends the reader to the doctor.
"""

from collections.abc import Mapping

from app.doctor.finding import Finding, Step, failed
from app.doctor.target import CheckTarget
from app.mail.explain import fill_text
from app.mail.outcome.attempt import LOGIN_PHASES, Failure, FailureKind, Phase
from app.mail.outcome.reply import Reply
from app.mail.outcome.verdict import Explanation
from app.mail.policy import judge_failure, judge_reply

_AGAIN = "Run `postern check` again."
_BEHIND_THE_DOOR = frozenset({Phase.AUTH, Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.CONTENT, Phase.DOT})
_NO_SUCH_LOGIN = Reply.of(504, ["5.7.4 Unrecognized authentication type"])  # what a server says that is asked anyway
_SLOW = f"{_AGAIN} If it stays so, look at Health, Service health at https://admin.microsoft.com."


def of_reply(
    target: CheckTarget, step: Step, phase: Phase, reply: Reply, known: Mapping[str, str] | None = None
) -> Finding:
    """What a refusal means and what mends it. `known` fills further <names> of the mend."""
    explanation = judge_reply(phase, reply).explanation
    fix = fill_text(explanation.fix, {"mailbox": target.mailbox, **(known or {})})
    return failed(step, explanation.summary, f"{fix} {_AGAIN}" if reply.transient else fix, {"reply": str(reply)})


def of_failure(target: CheckTarget, step: Step, failure: Failure) -> Finding:
    """What a silence means and what mends it: what was seen first, then what follows from it."""
    explanation = _own(target, failure) or judge_failure(failure).explanation
    fix = fill_text(explanation.fix, {"mailbox": target.mailbox})
    return failed(step, f"{failure.detail} {explanation.summary}".strip(), fix)


def how_to_test(target: CheckTarget) -> str:
    """Who blocks: this machine, its network, or nobody."""
    host, port = target.upstream.host, target.upstream.port
    return (
        f"Test it from this machine with `nc -vz -w 10 {host} {port}`, on Windows with `Test-NetConnection {host} "
        f"-Port {port}`, and once more from another network. If it works only there, ask whoever runs this machine's "
        f"network or cloud to allow outbound TCP {port} to {host}."
    )


def _own(target: CheckTarget, failure: Failure) -> Explanation | None:
    if failure.phase is Phase.CONNECT:
        return _unreached(target, failure)
    match failure.kind:
        case FailureKind.TIMEOUT if failure.phase in LOGIN_PHASES - _BEHIND_THE_DOOR:
            return Explanation(
                "The connection opens, but nobody speaks SMTP on it: a firewall or a proxy holds it up.",
                f"Have it pass {target.where} through untouched.",
            )
        case FailureKind.CLOSED if failure.phase in LOGIN_PHASES - _BEHIND_THE_DOOR:
            return Explanation(
                "The connection opens and is cut before a login: a firewall or a proxy that does not want SMTP, or a "
                "server that is being restarted.",
                f"{_AGAIN} If it stays so, have whatever lies between pass {target.where} through untouched.",
            )
        case FailureKind.CAPABILITY if failure.phase is Phase.AUTH:
            return judge_reply(Phase.AUTH, _NO_SUCH_LOGIN).explanation
        case FailureKind.TIMEOUT | FailureKind.CLOSED if not failure.in_doubt:
            return Explanation("Office 365 was reached, but did not finish its answer.", _SLOW)
        case _:
            return None


def _unreached(target: CheckTarget, failure: Failure) -> Explanation | None:
    match failure.kind:
        case FailureKind.TIMEOUT:
            return Explanation(
                f"Nothing comes back, not even a refusal: a firewall blocks outbound TCP {target.upstream.port}.",
                how_to_test(target),
            )
        case FailureKind.UNREACHABLE:
            return Explanation("There is no way there from this machine.", how_to_test(target))
        case _:
            return None
