"""Current problems, the most serious first, and the sentence at the top of the overview. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from app.console.mailbox_view import MailboxView, is_held_by_operator, mailbox_path
from app.console.overview.state import StoreState, WebhookState
from app.mail.lifecycle import LastEvent, MessageState
from app.mail.mailbox_health import Health, MailboxCondition
from app.mail.outcome.verdict import Explanation
from app.mail.readiness import Check, Readiness
from app.store.read.records import BoundedCount
from app.store.webhooks.records import DeliveryState, WebhookStatus


class Severity(IntEnum):
    """Severity of a problem: the order on the page."""

    CRITICAL = 0  # no email is accepted, or a mailbox does not send until a person fixes the cause
    ACTION = 1  # a person has to decide or fix something
    CALM = 2  # it ends without a person


@dataclass(frozen=True, slots=True)
class CurrentProblem:
    """Problem with its cause and its fix. `link` is the path of the page with details, below the console."""

    severity: Severity
    title: str
    explanation: Explanation
    link: str = ""
    link_text: str = ""
    mailbox: str = ""  # that a login may release
    release_text: str = ""  # of the button for it
    holds_mail: bool = False  # emails wait because of it


@dataclass(frozen=True, slots=True)
class Headline:
    """Sentence at the top: the most serious problem, and the emails that wait because of it since a time."""

    text: str
    severity: Severity | None  # None: there is no problem
    waiting: BoundedCount | None = None
    since: float | None = None  # epoch seconds


def current_problems(
    readiness: Readiness, mailboxes: Sequence[MailboxView], state: StoreState | None
) -> list[CurrentProblem]:
    """Return the problems in the order of their severity."""
    problems = [*_readiness_problems(readiness), *_mailbox_problems(mailboxes)]
    if state is not None:
        problems += [*_email_problems(state), *_webhook_problems(state)]
    return sorted(problems, key=lambda problem: problem.severity)


def headline(problems: Sequence[CurrentProblem], state: StoreState | None, relaying: bool) -> Headline:
    """Return the sentence about these problems, the most serious first. `relaying`: a mailbox is not held."""
    if not problems or problems[0].severity is Severity.CALM:
        done = "accepted and sent" if relaying else "accepted"
        return Headline(f"All is well · emails are {done}", None if not problems else Severity.CALM)
    first = problems[0]
    text = first.title if len(problems) == 1 else _with_others(first, problems)
    if state is None or not first.holds_mail or not state.waiting.number:
        return Headline(text, first.severity)
    return Headline(text, first.severity, state.waiting, state.oldest)


def _with_others(first: CurrentProblem, problems: Sequence[CurrentProblem]) -> str:
    """Return the title of the first problem; if several mailboxes have the same problem, their number."""
    ending = first.title.removeprefix(first.mailbox)
    same = [problem for problem in problems if problem.mailbox and problem.title == f"{problem.mailbox}{ending}"]
    if not first.mailbox or len(same) < 2:
        return first.title
    return f"{len(same)} mailboxes{ending.replace(' is ', ' are ', 1)}"


def _readiness_problems(readiness: Readiness) -> Iterator[CurrentProblem]:
    for reason in readiness.reasons:
        if reason.check != Check.MAILBOX:
            summary, fix = reason.explanation.summary, reason.explanation.fix
            title, _, rest = summary.partition(". ")
            yield CurrentProblem(Severity.CRITICAL, title.removesuffix("."), Explanation(rest or summary, fix))


def _mailbox_problems(mailboxes: Iterable[MailboxView]) -> Iterator[CurrentProblem]:
    for mailbox in mailboxes:
        condition = mailbox.condition
        if condition is None:
            explanation = Explanation(
                "No relay process has taken over the mailbox yet.",
                "Check that a Postern with the role `all` or `relay` runs on this database.",
            )
            yield CurrentProblem(Severity.ACTION, f"{mailbox.name} has no relay", explanation, holds_mail=True)
        elif condition.health is not Health.OPEN and mailbox.explanation is not None:
            held = condition.health is Health.HELD
            yield CurrentProblem(
                Severity.CRITICAL if held else Severity.CALM,
                f"{mailbox.name} {_condition_text(condition)}",
                mailbox.explanation,
                mailbox_path(mailbox.name),
                "Open the mailbox",
                mailbox=mailbox.name,
                release_text=mailbox.release_text,
                holds_mail=held,
            )


def _condition_text(condition: MailboxCondition) -> str:
    if condition.health is Health.PAUSED:
        return "is paused"
    if is_held_by_operator(condition):
        return "is held by an operator"
    return "cannot log in" if condition.during_login else "cannot send"


def _email_problems(state: StoreState) -> Iterator[CurrentProblem]:
    held = state.now[MessageState.HELD]
    if held.number:
        explanation = Explanation(
            "The connection was lost before Exchange replied, or the database was restored: the mail may have arrived.",
            "1. Search Message trace for the Message-ID. 2. Confirm what arrived; retry or cancel the rest.",
        )
        title = f"{_emails(held)} {_verb(held, 'is', 'are')} held until an operator decides"
        yield CurrentProblem(Severity.ACTION, title, explanation, "/emails?state=held", "Show held emails")
    for event, cause in (
        (LastEvent.FAILED, "At least one recipient was refused or suppressed, or the email expired."),
        (LastEvent.BOUNCED, "Exchange accepted the mail and could not deliver it to at least one recipient."),
    ):
        number = BoundedCount(state.day.ended[event], more=False)
        if number.number:
            explanation = Explanation(
                cause,
                "Open an email: its page has the cause, the fix and a button that retries it.",
            )
            link = f"/emails?state={event}&{state.day_query}"
            title = f"{_emails(number)} {event} in the last day"
            yield CurrentProblem(Severity.ACTION, title, explanation, link, "Show them")


def _webhook_problems(state: StoreState) -> Iterator[CurrentProblem]:
    for webhook_state in state.webhooks:
        if webhook_state.webhook.status is WebhookStatus.DISABLED and webhook_state.webhook.reason:
            cause, fix = webhook_state.webhook.reason, "Check that its endpoint responds, then enable the webhook."
            yield _webhook(webhook_state, "is disabled", cause, fix)
        elif webhook_state.failing:
            last = webhook_state.failing[0].history[-1]
            gave_up = sum(delivery.state is DeliveryState.FAILED for delivery in webhook_state.failing)
            answer = f"Its last response was {last.status}" if last.status else "The last attempt got no response"
            cause = f"{answer}{f' ({last.response})' if last.response else ''}."
            fix = "Check that its endpoint responds with 2xx."
            if gave_up:
                cause += f" {gave_up} of its latest events were given up."
                fix += " Then send the failed events again."
            yield _webhook(webhook_state, "does not accept its events", cause, fix)


def _webhook(state: WebhookState, problem: str, cause: str, fix: str) -> CurrentProblem:
    title, link = f"The webhook {state.address} {problem}", f"/webhooks/{state.webhook.id}"
    return CurrentProblem(Severity.ACTION, title, Explanation(cause, fix), link, "Open the webhook")


def _emails(count: BoundedCount) -> str:
    more = "+" if count.more else ""
    return "1 email" if count == (1, False) else f"{count.number:,}{more} emails"


def _verb(count: BoundedCount, singular: str, plural: str) -> str:
    return singular if count == (1, False) else plural
