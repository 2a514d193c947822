"""scheduled_at: cases C1 to C3, and its interaction with expires_in."""

from datetime import UTC, datetime

import pytest

from app.api.submission.fields import SchedulingError, parse_time
from tests.contract.api.server import ApiServer, changed, refused

NOW = datetime(2026, 11, 23, 20, 0, tzinfo=UTC).timestamp()


def at(text: str) -> float:
    """Return the epoch seconds of a UTC time."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("2026-11-24T10:00:00", at("2026-11-24T10:00:00")),
        ("2026-11-24T10:00:00Z", at("2026-11-24T10:00:00")),
        ("2026-11-24T10:00:00+00:00", at("2026-11-24T10:00:00")),
        ("2026-11-24T10:00:00+0000", at("2026-11-24T10:00:00")),
        ("2026-11-24T12:00:00+02:00", at("2026-11-24T10:00:00")),
        ("2026-11-24T10:00:00.123Z", at("2026-11-24T10:00:00.123")),
        ("2026-11-24T10:00:00.123456789Z", at("2026-11-24T10:00:00.123456")),
        ("2026-11-24 10:00:00 +0000", at("2026-11-24T10:00:00")),
        ("in 1 hour", NOW + 3600),
        ("In 90 Seconds", NOW + 90),
        ("in 5 sec", NOW + 5),
        ("in 10 minutes", NOW + 600),
        ("in 10 min", NOW + 600),
        ("in 2 days", NOW + 172_800),
        ("in 4 weeks", NOW + 2_419_200),
        ("in 30 days", NOW + 2_592_000),
        ("2026-11-23T19:59:59Z", None),
        ("2026-11-23T19:00:00Z", None),
        ("2026-11-24 10:00:00 UTC", at("2026-11-24T10:00:00")),
        ("2026-12-01 00:34:40 UTC", at("2026-12-01T00:34:40")),
        ("2026-11-24T10:00:00UTC", at("2026-11-24T10:00:00")),
        ("2026-11-24 10:00:00 GMT", at("2026-11-24T10:00:00")),
        ("2026-11-24 10:00:00 utc", at("2026-11-24T10:00:00")),
        ("2026-11-24T10:00:00 Z", at("2026-11-24T10:00:00")),
        ("2026-11-24t10:00:00z", at("2026-11-24T10:00:00")),
        ("2026-11-24 10:00:00+00", at("2026-11-24T10:00:00")),
        ("2026-11-24 12:00:00 +02", at("2026-11-24T10:00:00")),
        ("2026-11-24 12:00:00 +02:00", at("2026-11-24T10:00:00")),
        ("2026-11-24 10:00:00.25 UTC", at("2026-11-24T10:00:00.25")),
        ("2026-11-24", at("2026-11-24T00:00:00")),
        ("in 0 seconds", None),
    ],
)
def test_c1_every_form(text: str, due: float | None) -> None:
    """A time that has just passed means now. UTC has several names and is the default."""
    assert parse_time(text, NOW) == due


ZONES = [f"2026-11-24 10:00:00 {zone}" for zone in ("EST", "CET", "PST", "IST", "UTC+2", "GMT+1", "Europe/Berlin")]


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "in an hour", "in -1 hours", "in 1 month", "24.11.2026", "1" * 5000, *ZONES]
)
def test_c2_garbage(text: str) -> None:
    """The message lists the forms. A zone name is refused: EST, CST and IST are ambiguous."""
    with pytest.raises(SchedulingError, match=r"ISO 8601.*in 10 minutes"):
        parse_time(text, NOW)


@pytest.mark.parametrize("text", ["in 31 days", "2026-12-24T20:00:01Z", "9999-12-31T23:59:59-14:00", "in 5 weeks"])
def test_c3_too_far_ahead(text: str) -> None:
    """30 days at most."""
    with pytest.raises(SchedulingError, match="30 days"):
        parse_time(text, NOW)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "2026-11-23T18:59:59Z", "2026-11-23", "2020-01-01 UTC"])
def test_more_than_an_hour_in_the_past_is_refused(text: str) -> None:
    """It is a mistake of the year, the zone or the unit."""
    with pytest.raises(SchedulingError, match=r"one hour in the past|ISO 8601"):
        parse_time(text, NOW)


@pytest.mark.parametrize("value", ["2020-01-01", "tomorrow", "in 31 days", 5, {}, ""])
def test_c2_c3_over_http(server: ApiServer, value: object) -> None:
    refused(server.post(changed(scheduled_at=value)), 422, "validation_error", "scheduled_at")


def test_c1_over_http(server: ApiServer) -> None:
    """The email is `scheduled` until then; its expiry counts from then."""
    shown = server.get(f"/emails/{server.send(scheduled_at='in 1 hour', expires_in=60)}").json()
    scheduled = datetime.fromisoformat(shown["scheduled_at"])
    assert shown["last_event"] == "scheduled"
    assert shown["relay"]["next_attempt_at"] == shown["scheduled_at"]
    assert (scheduled - datetime.fromisoformat(shown["created_at"])).total_seconds() == pytest.approx(3600, abs=0.01)
    assert (datetime.fromisoformat(shown["relay"]["expires_at"]) - scheduled).total_seconds() == 60


def test_a_time_that_has_just_passed_is_now(server: ApiServer) -> None:
    """As without `scheduled_at`."""
    half_an_hour_ago = datetime.fromtimestamp(server.clock.now() - 1800, UTC).isoformat()
    shown = server.get(f"/emails/{server.send(scheduled_at=half_an_hour_ago)}").json()
    assert (shown["scheduled_at"], shown["last_event"]) == (None, "queued")
    assert shown["relay"]["next_attempt_at"] == shown["created_at"]
