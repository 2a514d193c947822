"""Commands `postern emails`: list, show, retry, cancel, confirm and erase emails."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any
from uuid import UUID

import typer

from app.api.emails.routes import not_held, not_retryable
from app.api.problems.problem import NotEnded
from app.cli.email_list import list_emails, summary_row
from app.cli.exit_codes import Exit, end
from app.cli.output.terminal import console, print_members, styled
from app.cli.output.text import AsJson, print_json, print_line, timestamp
from app.cli.store_access import ACTOR, with_store
from app.clock import Clock
from app.mail.lifecycle import MessageState
from app.mail.message.address import AddressError, normalize_address
from app.mail.outcome.verdict import Explanation
from app.mail.suppression import stay_suppressed
from app.store import Store
from app.store.erase import EraseOutcome
from app.store.read import email_filters
from app.store.read.records import Selection
from app.store.records import AttemptRecord, Change, Email, RecipientRecord

commands = typer.Typer(no_args_is_help=True)
_MAX_LISTED = 100  # ids in an error message
_MAX_CANDIDATES = 10  # ids with one prefix in an error message

_ID_HELP = "Id from the response of POST /emails, or its first characters."
Id = Annotated[str, typer.Argument(help=_ID_HELP)]
Ids = Annotated[list[str], typer.Argument(metavar="ID...", help=_ID_HELP)]

_StoreMethod = Callable[..., Awaitable[Change | None]]
_LeftOut = Callable[[Store, Sequence[UUID], float], Awaitable[Mapping[UUID, Sequence[str]]]]


commands.command("list")(list_emails)


@commands.command("show")
def show_(id: Id, as_json: AsJson = False) -> None:
    """Show one email: recipients, attempts with the SMTP dialogue, and cause and fix of a problem."""
    (whole,) = _complete([id])
    found = with_store(lambda store: _with_explanation(store, whole))
    if found is None:
        raise _not_found(whole)
    if as_json:
        print_json([_as_json(*found)])
    else:
        _print(*found)


@commands.command()
def retry(ids: Ids, as_json: AsJson = False) -> None:
    """Send held or failed emails again, but not to recipients that have received them."""
    done = "is queued again; a running Postern sends it within a second"
    _change(
        ids,
        Store.retry,
        done,
        lambda change, suppressed: not_retryable(change, suppressed).message,
        as_json,
        left_out=lambda store, ids, now: store.still_suppressed(ids, now),
    )


@commands.command()
def cancel(ids: Ids, as_json: AsJson = False) -> None:
    """Cancel emails that wait or are held. They are never sent."""

    def refusal(change: Change, _: Sequence[str]) -> str:
        return f"The email is {change.state}. Only an email that is queued, deferred or held can be cancelled."

    _change(ids, Store.cancel, "is cancelled", refusal, as_json)


@commands.command()
def confirm(ids: Ids, as_json: AsJson = False) -> None:
    """Mark held emails as sent, if Message trace shows that they arrived. They are not sent again."""
    done = "is done; it counts as sent"
    _change(ids, Store.confirm, done, lambda change, _: not_held(change).message, as_json)


@commands.command()
def erase(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID...]", help="Ids of finished emails, or their first characters.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Erase every email to this address, or with this reply-to address.")
    ] = None,
    vacuum: Annotated[
        bool, typer.Option("--vacuum", help="Rewrite the SQLite file even if it is larger than 128 MiB.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Erase content, names, addresses and dialogue of finished emails. Ids, times, states and counts remain."""
    if (not ids) is (address is None):
        raise typer.BadParameter("Give either ids or --address.")
    done, result, failures = _erase_ids(ids) if ids else _erase_address(address or "")
    scrubbed = with_store(lambda store: store.scrub(whole=vacuum))
    if as_json:
        print_json({**result, "file_rewritten": scrubbed})
    else:
        for line in done:
            print_line(line)
        if not scrubbed:
            print_line("The database file was not rewritten, and may still contain erased data. Repeat with --vacuum.")
    if failures:
        raise failures[0]


def _erase_ids(given: Sequence[str]) -> tuple[list[str], dict[str, Any], list[typer.Exit]]:
    """Return the lines about what was erased, the same for programs, and the errors."""
    ids = _complete(given)
    outcomes = with_store(lambda store: store.erase(ids, Clock().now(), ACTOR))
    erased, failures = [], []
    for id, outcome in outcomes.items():
        if outcome is EraseOutcome.MISSING:
            failures.append(_not_found(id))
        elif isinstance(outcome, MessageState):
            failures.append(end(Exit.FAILED, f"{id}: {NotEnded(outcome).message}"))
        else:
            erased.append(str(id))
    return [f"{id} is erased" for id in erased], {"erased": erased}, failures


def _erase_address(address: str) -> tuple[list[str], dict[str, Any], list[typer.Exit]]:
    """Erase the emails of an address. The output does not repeat the address, because output may be stored."""
    try:
        spec = normalize_address(address)
    except AddressError as error:
        raise typer.BadParameter(f"--address: {error}") from None
    found = with_store(lambda store: store.erase_address(spec, Clock().now(), ACTOR))
    done = [f"{found.count} emails are erased"]
    result = {"erased_count": found.count, "not_finished": [*map(str, found.waiting)]}
    if not found.waiting:
        return done, result, []
    listed = " ".join(map(str, found.waiting[:_MAX_LISTED]))
    sentence = (
        f"{len(found.waiting)} emails with this address are not finished. Cancel them or wait, then repeat: {listed}"
    )
    return done, result, [end(Exit.FAILED, sentence)]


async def _with_explanation(store: Store, id: UUID) -> tuple[Email, Explanation] | None:
    if (email := await store.get(id)) is None:
        return None
    return email, (await store.delivery_status(email, {}, Clock().now())).why


def _complete(given: Sequence[str]) -> list[UUID]:
    """Return the complete ids. End the command if a prefix has no email or several."""
    ranges = []
    for text in given:
        try:
            ranges.append(email_filters.id_range(text))
        except ValueError as error:
            raise typer.BadParameter(f"{text!r}: {error}", param_hint="ID") from None
    if all(first == last for first, last in ranges):
        return [first for first, _ in ranges]
    found = with_store(lambda store: _within(store, ranges))
    for text, ids in zip(given, found, strict=True):
        if not ids:
            raise end(Exit.FAILED, f"there is no email with an id that begins with {text}; see: postern emails list")
        if len(ids) > 1:
            listed = " ".join(map(str, ids[:_MAX_CANDIDATES])) + (" and others" if len(ids) > _MAX_CANDIDATES else "")
            raise end(Exit.FAILED, f"several emails have an id that begins with {text}; give more of it: {listed}")
    return [id for (id, *_) in found]


async def _within(store: Store, ranges: Sequence[tuple[UUID, UUID]]) -> list[list[UUID]]:
    """Return for each range the newest ids in it, one more than are listed; a single id is not looked up."""
    return [
        [first] if first == last else await _newest(store, Selection(start=first, end=last)) for first, last in ranges
    ]


async def _newest(store: Store, selection: Selection) -> list[UUID]:
    page = await store.list_emails(selection, _MAX_CANDIDATES + 1, Clock().now())
    return [email.id for email in page.emails]


def _change(
    given: Sequence[str],
    method: _StoreMethod,
    done: str,
    refusal: Callable[[Change, Sequence[str]], str],
    as_json: bool,
    left_out: _LeftOut | None = None,
) -> None:
    """Change each email and print the result; JSON has the changed ones. The command fails if one change fails.

    `left_out` returns the recipients of each email that get nothing: they are printed, and `refusal` gets them.
    """
    ids = _complete(given)
    errors, changed = [], []
    changes, suppressed = with_store(lambda store: _change_all(store, method, ids, left_out))
    for id, change in zip(ids, changes, strict=True):
        nothing_to = suppressed.get(id, ())
        if change is None:
            errors.append(_not_found(id))
        elif change.applied:
            members = {"suppressed": nothing_to} if nothing_to else {}
            changed.append({"id": str(id), "state": str(change.state), **members})
            if not as_json:
                print_line(f"{id} {done}")
                if nothing_to:
                    print_line(stay_suppressed(nothing_to))
        else:
            why = refusal(change, nothing_to)
            errors.append(end(Exit.FAILED, why if len(ids) == 1 else f"{id}: {why}"))
    if as_json:
        print_json(changed)
    if errors:
        raise errors[0]


async def _change_all(
    store: Store, method: _StoreMethod, ids: Sequence[UUID], left_out: _LeftOut | None
) -> tuple[list[Change | None], Mapping[UUID, Sequence[str]]]:
    """Return the results, and the recipients of each email that get nothing."""
    now = Clock().now()
    changes = await asyncio.gather(*(method(store, id, now, by=ACTOR) for id in ids))
    return changes, await left_out(store, ids, now) if left_out else {}


def _not_found(id: UUID) -> typer.Exit:
    return end(Exit.FAILED, f"there is no email {id}; see: postern emails list")


def _as_json(email: Email, explanation: Explanation) -> dict[str, Any]:
    return {
        **summary_row(email, Clock().now()),
        "message_id": email.message_id,
        "mailbox": email.mailbox,
        "next_attempt_at": timestamp(email.due_at),
        "expires_at": timestamp(email.expires_at),
        "possible_duplicate": email.possible_duplicate,
        "content_removed_at": timestamp(email.content_removed_at),
        "explanation": asdict(explanation),
        "recipients": [_recipient(recipient) for recipient in email.recipients],
        "attempts": [_attempt(attempt) for attempt in email.attempts],
    }


def _recipient(recipient: RecipientRecord) -> dict[str, Any]:
    shown: dict[str, Any] = {"address": recipient.address, "state": str(recipient.state), "reply": recipient.reply}
    if recipient.delivery is not None:
        shown["delivery"] = str(recipient.delivery.state)
        shown["cause"] = recipient.delivery.cause.text or None
        shown["trace_id"] = recipient.delivery.network_id and str(recipient.delivery.network_id)
    return shown


def _attempt(attempt: AttemptRecord) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "mailbox": attempt.mailbox,
        "started_at": timestamp(attempt.started_at),
        "ended_at": timestamp(attempt.ended_at),
        "phase": str(attempt.phase),
        "replies": list(attempt.replies),
        "failure": attempt.failure and str(attempt.failure),
        "in_doubt": attempt.in_doubt,
        "dialogue": [str(line) for line in attempt.dialogue],
    }


def _print(email: Email, explanation: Explanation) -> None:
    print_members(_facts(email, explanation))
    for attempt in email.attempts:
        started = f" {timestamp(attempt.started_at)} {attempt.mailbox}"
        console.print()
        console.print(styled((f"attempt {attempt.number}", "bold"), started))
        for line in attempt.dialogue:
            console.print(styled(f"  {line}"))
        if attempt.failure:
            console.print(styled(f"  no reply: {attempt.failure}, {attempt.detail}"))


def _facts(email: Email, explanation: Explanation) -> dict[str, Any]:
    facts = {name.replace("_", " "): value for name, value in summary_row(email, Clock().now()).items()}
    facts["message id"] = f"<{email.message_id}>"
    if email.due_at and email.ended_at is None:
        facts["next attempt"] = timestamp(email.due_at)
    if email.possible_duplicate:
        facts["duplicate"] = "possible: the connection was lost before the reply to the final dot"
    if email.content_removed_at:
        facts["content"] = f"removed {timestamp(email.content_removed_at)}"
    facts |= {"explanation": explanation.summary, "fix": explanation.fix}
    return facts | {recipient.address: _recipient_text(recipient) for recipient in email.recipients}


def _recipient_text(recipient: RecipientRecord) -> str:
    if recipient.delivery is None:
        return f"{recipient.state}  {recipient.reply or ''}"
    return f"{recipient.state}, {recipient.delivery.state}  {recipient.delivery.cause.text or recipient.reply or ''}"
