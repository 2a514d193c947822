"""Token source: one shared request, early renewal, retries of transient errors; and the login with its tokens."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.clock import Clock
from app.mail.outcome.attempt import FailureKind, Phase
from app.simulator import Account, Fault, Point, Say, Simulator
from app.smtp.auth.credentials import CredentialError
from app.smtp.auth.grants import ClientSecret
from app.smtp.auth.oauth import RENEW_BEFORE_EXPIRY, RENEWAL_RETRY_INTERVAL, OAuth, TokenSource
from app.smtp.failure import SessionError
from app.smtp.handshake import Refusal, Session, open_session
from tests.entra import SECRET, RunningEntra, running_entra
from tests.smtp.conftest import LIMITS, MAILBOX, upstream


class ManualClock:
    """Clock that a test moves."""

    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        """Return the time of both clocks."""
        return self.at

    monotonic = now

    async def sleep(self, seconds: float) -> None:
        """Advance the clock without waiting."""
        self.at += seconds


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """Running simulator of Office 365."""
    async with Simulator(limits=LIMITS) as simulator:
        yield simulator


@pytest.fixture
async def entra(simulator: Simulator, tmp_path: Path) -> AsyncIterator[RunningEntra]:
    """Running Entra ID with tokens for the mailbox."""
    async with running_entra(simulator, tmp_path) as entra:
        simulator.accounts.add(Account(MAILBOX, validate_token=entra.entra.is_valid_token))
        yield entra


def source(entra: RunningEntra, clock: Clock | ManualClock | None = None, secret: str = SECRET) -> TokenSource:
    """Return the source of the app's tokens."""
    clock = clock or Clock()
    return TokenSource(ClientSecret(entra.registration(), secret), clock)  # type: ignore[arg-type]  # ManualClock has the methods of Clock


async def test_fifty_callers_share_one_request(entra: RunningEntra) -> None:
    """Later callers get the same token."""
    tokens = source(entra)
    found = await asyncio.gather(*(tokens.token() for _ in range(50)))
    found.append(await tokens.token())
    assert len(set(found)) == 1
    assert entra.outcomes == ["ok"]


async def test_fifty_callers_share_the_failure(entra: RunningEntra) -> None:
    """One request, not fifty."""
    entra.entra.refuse("AADSTS7000222", times=None)
    tokens = source(entra)
    ends = await asyncio.gather(*(tokens.token() for _ in range(50)), return_exceptions=True)
    assert {type(end) for end in ends} == {CredentialError}
    assert entra.outcomes == ["AADSTS7000222"]


async def test_a_cancelled_caller_does_not_cancel_the_request(entra: RunningEntra) -> None:
    """As a worker that is stopped while it waits."""
    tokens = source(entra)
    first, second = asyncio.create_task(tokens.token()), asyncio.create_task(tokens.token())
    await asyncio.sleep(0)
    first.cancel()
    assert entra.entra.is_valid_token(await second)
    assert entra.outcomes == ["ok"]


async def test_a_token_is_renewed_ten_minutes_before_its_expiry(entra: RunningEntra) -> None:
    """Not earlier; every login has at least 10 minutes left."""
    clock = ManualClock()
    tokens = source(entra, clock)
    first = await tokens.token()
    clock.at += 4500 - RENEW_BEFORE_EXPIRY - 1
    assert await tokens.token() == first
    clock.at += 2
    assert await tokens.token() != first
    assert entra.outcomes == ["ok", "ok"]


async def test_the_old_token_is_used_while_the_endpoint_is_unreachable(entra: RunningEntra) -> None:
    """For its last 10 minutes, without a request per login."""
    clock = ManualClock()
    tokens = source(entra, clock)
    first = await tokens.token()
    entra.entra.refuse("503", times=None)
    clock.at += 4500 - RENEW_BEFORE_EXPIRY
    assert await tokens.token() == first
    asked = len(entra.entra.requests)
    assert [await tokens.token() for _ in range(10)] == [first] * 10
    assert len(entra.entra.requests) == asked
    clock.at += RENEWAL_RETRY_INTERVAL
    assert await tokens.token() == first
    assert len(entra.entra.requests) > asked
    clock.at += RENEW_BEFORE_EXPIRY
    with pytest.raises(CredentialError):
        await tokens.token()
    entra.entra.clear_failures()
    assert await tokens.token() != first


@pytest.mark.parametrize("code", ["503", "429", "AADSTS90033"])
async def test_a_transient_error_is_retried_three_times(entra: RunningEntra, code: str) -> None:
    entra.entra.refuse(code, times=2, retry_after=0)
    assert entra.entra.is_valid_token(await source(entra, ManualClock()).token())
    assert entra.outcomes == [code, code, "ok"]


async def test_a_permanent_error_is_not_retried(entra: RunningEntra) -> None:
    """The error has the code of the cause."""
    with pytest.raises(CredentialError) as caught:
        await source(entra, secret="wrong~secret").token()
    assert caught.value.code == "AADSTS7000215"
    assert entra.outcomes == ["AADSTS7000215"]


async def test_retry_after_is_respected(entra: RunningEntra) -> None:
    clock = ManualClock()
    entra.entra.refuse("429", retry_after=60)
    tokens = source(entra, clock)
    for _ in range(3):
        with pytest.raises(CredentialError):
            await tokens.token()
    assert entra.outcomes == ["429"]
    clock.at += 60
    assert entra.entra.is_valid_token(await tokens.token())


async def test_only_the_refused_token_is_discarded(entra: RunningEntra) -> None:
    """A late rejection of an old token does not discard the new one."""
    tokens = source(entra)
    old = await tokens.token()
    tokens.forget(old)
    new = await tokens.token()
    tokens.forget(old)
    assert await tokens.token() == new != old


async def test_a_login_with_a_token_is_xoauth2(simulator: Simulator, entra: RunningEntra) -> None:
    """The server verifies its bytes and the token."""
    session = await open_session(upstream(simulator, entra.ca_file), OAuth(MAILBOX, source(entra)))
    assert isinstance(session, Session)
    assert [(login.mechanism, login.ok) for login in simulator.logins] == [("XOAUTH2", True)]
    await session.quit()


async def test_a_refused_token_is_renewed_once(simulator: Simulator, entra: RunningEntra) -> None:
    """After a revoked token, the handshake logs in with a new one; both logins are in the dialogue."""
    tokens = source(entra)
    await tokens.token()
    entra.entra.revoke()
    session = await open_session(upstream(simulator, entra.ca_file), OAuth(MAILBOX, tokens))
    assert isinstance(session, Session)
    assert [login.ok for login in simulator.logins] == [False, True]
    assert entra.outcomes == ["ok", "ok"]
    await session.quit()


async def test_a_second_refused_token_ends_the_login(simulator: Simulator, entra: RunningEntra) -> None:
    """Two logins, no third."""
    simulator.accounts.add(Account(MAILBOX))
    refused = await open_session(upstream(simulator, entra.ca_file), OAuth(MAILBOX, source(entra)))
    assert isinstance(refused, Refusal)
    assert (refused.phase, refused.reply.code) == (Phase.AUTH, 535)
    assert [login.ok for login in simulator.logins] == [False, False]
    assert [line.text for line in refused.dialogue].count("AUTH XOAUTH2 ****") == 2
    assert entra.outcomes == ["ok", "ok"]


async def test_another_refusal_does_not_renew_the_token(simulator: Simulator, entra: RunningEntra) -> None:
    """454, for example."""
    simulator.faults.add(Fault(Point.AUTH, Say("454 4.7.0 Temporary authentication failure")))
    refused = await open_session(upstream(simulator, entra.ca_file), OAuth(MAILBOX, source(entra)))
    assert isinstance(refused, Refusal)
    assert len(simulator.logins) == 1
    assert entra.outcomes == ["ok"]


async def test_without_a_token_no_connection_is_made(simulator: Simulator, entra: RunningEntra) -> None:
    """The failure has the code."""
    with pytest.raises(SessionError) as caught:
        await open_session(upstream(simulator, entra.ca_file), OAuth(MAILBOX, source(entra, secret="wrong~secret")))
    failure = caught.value.failure
    assert (failure.phase, failure.kind, failure.code) == (Phase.AUTH, FailureKind.CREDENTIAL, "AADSTS7000215")
    assert simulator.sessions == []
