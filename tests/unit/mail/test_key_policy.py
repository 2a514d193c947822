"""Policy of an API key: accepted and refused policies, their effect, and rate limits."""

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mail import key_policy
from app.mail.key_policy import UNUSED, Amount, Policy, PolicyError, RateLimit, Unit, Usage, validate
from app.mail.message.address import parse_address
from app.mail.message.message import Lane, Submission, compose
from app.mail.times import DAY, MINUTE

NOW = 1_800_000_000.0
EMAIL = Submission(
    parse_address("a@contoso.com"),
    (parse_address("Anna <anna@example.com>"),),
    "Hello",
    text="Hi",
    cc=(parse_address("bob@example.net"),),
    bcc=(parse_address("ç@example.org"),),
)

counts = st.integers(0, 10**6)
limits = st.none() | st.integers(1, 10**6)
moments = st.floats(0, 4e9)
amounts = st.builds(Amount, counts, counts, counts)
usages = st.builds(Usage, counts, amounts, counts, amounts)


@pytest.mark.parametrize(
    ("rule", "given", "is_"),
    [
        (key_policy.name, "  the   shop ", "the shop"),
        (
            key_policy.senders,
            ["A@Contoso.com", "*@*.Bücher.example", "a@contoso.com"],
            ("a@contoso.com", "*@*.xn--bcher-kva.example"),
        ),
        (
            key_policy.recipients,
            ["Example.com", "*@x.example", "bob@y.example", "*"],
            ("*@example.com", "*@x.example", "bob@y.example", "*"),
        ),
        (key_policy.recipients, [], ()),
        (key_policy.redirect_to, "Staging <staging@contoso.com>", "staging@contoso.com"),
        (key_policy.default_sender, "Shop <shop@contoso.com>", "Shop <shop@contoso.com>"),
        (key_policy.lanes, ["Bulk", "normal", "bulk"], (Lane.BULK, Lane.NORMAL)),
        (key_policy.item_limit, 1, 1),
        (key_policy.byte_limit, 10**15, 10**15),
    ],
)
def test_a_valid_policy_is_normalized(rule: object, given: object, is_: object) -> None:
    """Each value once, in the given order."""
    assert callable(rule)
    assert rule(given) == is_


@pytest.mark.parametrize(
    ("rule", "given", "says"),
    [
        (key_policy.name, " ", "Use one such as shop."),
        (key_policy.name, "a\x07b", "printable characters"),
        (key_policy.name, "x" * 101, "1 to 100"),
        (key_policy.senders, ["shop-*@contoso.com"], "'shop-*@contoso.com' is not a pattern of a sender: a wildcard"),
        (key_policy.senders, ["contoso.com"], "it has no @"),
        (key_policy.recipients, ["exa mple.com"], "is not a pattern of a recipient"),
        (key_policy.redirect_to, "staging", "Use one such as staging@contoso.com."),
        (key_policy.default_sender, "a@b, c@d", "is not an email address"),
        (key_policy.lanes, ["express"], "'express' is not a lane. Use one or more of urgent, normal, bulk."),
        (key_policy.item_limit, 0, "Use a whole number from 1"),
        (key_policy.item_limit, 10**10, "Use a whole number from 1"),
        (key_policy.byte_limit, 0, "Use a whole number from 1"),
        (key_policy.byte_limit, 10**16, "Use a whole number from 1"),
        (
            validate,
            Policy(senders=("*@contoso.com",), default_sender="a@fabrikam.com"),
            "may not send as its default sender",
        ),
        (validate, Policy(recipients=("*",), sink=True), "exclude each other"),
        (validate, Policy(redirect_to="a@b.example", sink=True), "exclude each other"),
    ],
)
def test_an_invalid_policy_is_refused_with_fault_and_fix(rule: object, given: object, says: str) -> None:
    assert callable(rule)
    with pytest.raises(PolicyError) as refused:
        rule(given)
    assert says in str(refused.value)


def test_an_empty_policy_allows_everything_unchanged() -> None:
    free = validate(Policy())
    assert free.default_lane is Lane.NORMAL
    assert all(map(free.takes_lane, Lane))
    assert free.disallowed_recipients(EMAIL) == []
    assert free.apply_redirect(EMAIL) is EMAIL
    assert free.rate_limit is None


@pytest.mark.parametrize(
    ("lanes", "default"),
    [((Lane.BULK, Lane.URGENT), Lane.BULK), ((Lane.BULK, Lane.NORMAL), Lane.NORMAL), ((), Lane.NORMAL)],
)
def test_the_default_lane_is_normal_or_the_first_allowed(lanes: tuple[Lane, ...], default: Lane) -> None:
    assert Policy(lanes=lanes).default_lane is default


def test_disallowed_recipients_are_reported_by_field() -> None:
    """In to, cc and bcc."""
    guarded = Policy(recipients=("*@example.com",))
    assert [(field, one.addr_spec) for field, one in guarded.disallowed_recipients(EMAIL)] == [
        ("cc[0]", "bob@example.net"),
        ("bcc[0]", "ç@example.org"),
    ]


def test_a_redirected_message_has_one_recipient() -> None:
    """With the original ones in a header and a mark in the subject; the rest is unchanged."""
    outgoing = Policy(redirect_to="staging@contoso.com").apply_redirect(EMAIL)
    message = compose(outgoing, id=UUID(int=1), now=datetime.fromtimestamp(NOW, UTC))
    assert message.envelope.rcpt_to == ("staging@contoso.com",)
    read = message_from_bytes(message.content, policy=policy.default)
    assert (read["to"], read["cc"], read["bcc"]) == ("staging@contoso.com", None, None)
    assert read["subject"] == "[redirected] Hello"
    assert read["x-postern-original-to"] == "anna@example.com, bob@example.net, ç@example.org"
    assert read["from"] == "a@contoso.com"


@given(st.lists(st.emails(), min_size=1, max_size=150))
def test_every_original_recipient_is_in_the_header(addresses: list[str]) -> None:
    """On lines of allowed length."""
    to = tuple(map(parse_address, addresses))
    outgoing = Policy(redirect_to="staging@contoso.com").apply_redirect(replace(EMAIL, to=to, cc=(), bcc=()))
    message = compose(outgoing, id=UUID(int=1), now=datetime.fromtimestamp(NOW, UTC))
    header = str(message_from_bytes(message.content, policy=policy.compat32)["X-Postern-Original-To"])
    assert " ".join(header.split()) == ", ".join(address.addr_spec for address in to)
    assert max(map(len, message.content.split(b"\r\n"))) <= 998


@given(per_minute=limits, per_day=limits, used=counts, more=counts, now=moments)
def test_a_limit_allows_what_fits_into_both_windows(
    per_minute: int | None, per_day: int | None, used: int, more: int, now: float
) -> None:
    """It reports the window with less room and its end."""
    if per_minute is None and per_day is None:
        return
    budget, usage = RateLimit(per_minute, per_day), UNUSED.at(now).plus(Amount(used))
    fits = all(limit is None or used + more <= max(limit, used) for limit in (per_minute, per_day))
    assert budget.takes(usage, Amount(more)) == fits
    window = budget.tightest(usage)
    assert window is not None
    assert window.remaining == min(max(0, limit - used) for limit in (per_minute, per_day) if limit is not None)
    assert window.start <= now < window.end == window.start + window.seconds
    if not fits:
        assert window.remaining < more, "what is refused is refused by the window that is named"


@given(now=moments, later=st.floats(0, 3 * DAY), used=counts)
def test_a_window_ends_by_the_clock(now: float, later: float, used: int) -> None:
    """The minute's with the minute, the day's at midnight UTC."""
    then = UNUSED.at(now).plus(Amount(used)).at(now + later)
    assert then.minute_used == (used if now // MINUTE == (now + later) // MINUTE else 0)
    assert then.day_used == (used if now // DAY == (now + later) // DAY else 0)
    assert (then.minute, then.day) == ((now + later) // MINUTE * MINUTE, (now + later) // DAY * DAY)


@given(one=usages, other=usages)
def test_usages_merge_in_any_order(one: Usage, other: Usage) -> None:
    """Of each window the later; of the same, the maximum."""
    joined = one.joined(other)
    assert joined == other.joined(one) == joined.joined(one)
    assert (joined.minute, joined.minute_used) in {(it.minute, it.minute_used) for it in (one, other)}
    assert joined.day == max(one.day, other.day)


@given(
    limit=st.integers(1, 50), used=counts, more=counts, now=moments, unit=st.sampled_from(Unit), of_day=st.booleans()
)
def test_each_unit_has_its_own_window(limit: int, used: int, more: int, now: float, unit: Unit, of_day: bool) -> None:
    """Independent of the other units."""
    of_unit: dict[str, Any] = {f"{unit}_{'per_day' if of_day else 'per_minute'}": limit}
    budget = Policy(**of_unit).rate_limit
    assert budget is not None
    usage = UNUSED.at(now).plus(Amount(**{unit: used}))
    window = budget.exceeded(usage, Amount(**{unit: more}))
    assert (window is None) == (more <= max(0, limit - used))
    others = Amount(**{other: 10**6 for other in Unit if other is not unit})
    assert budget.exceeded(usage, others) is None
    if window is not None:
        assert (window.unit, window.limit, window.seconds) == (unit, limit, DAY if of_day else MINUTE)


def test_of_several_full_windows_the_last_to_end_is_reported() -> None:
    """A repetition then is not refused by another window; a window that can never take the amount has priority."""
    budget = RateLimit(10, 100, recipients_per_minute=20, bytes_per_day=1000)
    usage = UNUSED.at(NOW).plus(Amount(10, 15, 950))
    full = budget.exceeded(usage, Amount(1, 6, 51))
    assert full is not None
    assert (full.unit, full.seconds) == (Unit.BYTES, DAY)
    never = budget.exceeded(usage, Amount(1, 21, 51))
    assert never is not None
    assert (never.unit, never.seconds) == (Unit.RECIPIENTS, MINUTE)
    headers = budget.tightest(usage)
    assert headers is not None
    assert (headers.unit, headers.remaining) == (Unit.MESSAGES, 0)
    assert RateLimit(None, None, bytes_per_day=1).tightest(usage) is None
