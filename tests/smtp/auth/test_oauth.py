"""The token source: one request for all, renewed in time, patient where that helps; and the login that uses it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.clock import Clock
from app.mail.outcome.attempt import FailureKind, Phase
from app.simulator import Account, Fault, Point, Say, Simulator
from app.smtp.auth.failure import CredentialError
from app.smtp.auth.grants import ClientSecret
from app.smtp.auth.oauth import RENEW_BEFORE_EXPIRY, RENEWAL_RETRY_INTERVAL, OAuth, TokenSource
from app.smtp.failure import SessionError
from app.smtp.handshake import Refusal, Session, open_session
from tests.entra import SECRET, RunningEntra, running_entra
from tests.smtp.conftest import LIMITS, MAILBOX, upstream


class Hands:
    """A clock whose hands are moved."""

    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        """Return the same token for both."""
        return self.at

    monotonic = now

    async def sleep(self, seconds: float) -> None:
        """Return a token immediately."""
        self.at += seconds


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """A pretend Office 365."""
    async with Simulator(limits=LIMITS) as simulator:
        yield simulator


@pytest.fixture
async def there(simulator: Simulator, tmp_path: Path) -> AsyncIterator[RunningEntra]:
    """An Entra whose tokens open the mailbox."""
    async with running_entra(simulator, tmp_path) as there:
        simulator.accounts.add(Account(MAILBOX, validate_token=there.entra.is_valid_token))
        yield there


def source(there: RunningEntra, clock: Clock | Hands | None = None, secret: str = SECRET) -> TokenSource:
    """The source of the app's tokens."""
    clock = clock or Clock()
    return TokenSource(ClientSecret(there.registration(), secret), clock)  # type: ignore[arg-type]  # Hands is a Clock


async def test_fifty_callers_share_one_request(there: RunningEntra) -> None:
    """All get the same token, and those who come later too."""
    tokens = source(there)
    found = await asyncio.gather(*(tokens.token() for _ in range(50)))
    found.append(await tokens.token())
    assert len(set(found)) == 1
    assert there.outcomes == ["ok"]


async def test_fifty_callers_share_the_failure(there: RunningEntra) -> None:
    """Not fifty requests to an endpoint that has said no."""
    there.entra.refuse("AADSTS7000222", times=None)
    tokens = source(there)
    ends = await asyncio.gather(*(tokens.token() for _ in range(50)), return_exceptions=True)
    assert {type(end) for end in ends} == {CredentialError}
    assert there.outcomes == ["AADSTS7000222"]


async def test_a_cancelled_caller_does_not_cancel_the_request(there: RunningEntra) -> None:
    """A worker that is stopped while it waits."""
    tokens = source(there)
    first, second = asyncio.create_task(tokens.token()), asyncio.create_task(tokens.token())
    await asyncio.sleep(0)
    first.cancel()
    assert there.entra.is_valid_token(await second)
    assert there.outcomes == ["ok"]


async def test_a_token_is_renewed_ten_minutes_before_it_ends(there: RunningEntra) -> None:
    """Not sooner; at no login it has less than 10 minutes left."""
    hands = Hands()
    tokens = source(there, hands)
    first = await tokens.token()
    hands.at += 4500 - RENEW_BEFORE_EXPIRY - 1
    assert await tokens.token() == first
    hands.at += 2
    assert await tokens.token() != first
    assert there.outcomes == ["ok", "ok"]


async def test_the_old_token_serves_while_the_endpoint_is_away(there: RunningEntra) -> None:
    """The old token is used for its last 10 minutes; the endpoint is not asked at every login."""
    hands = Hands()
    tokens = source(there, hands)
    first = await tokens.token()
    there.entra.refuse("503", times=None)
    hands.at += 4500 - RENEW_BEFORE_EXPIRY
    assert await tokens.token() == first
    asked = len(there.entra.requests)
    assert [await tokens.token() for _ in range(10)] == [first] * 10
    assert len(there.entra.requests) == asked
    hands.at += RENEWAL_RETRY_INTERVAL
    assert await tokens.token() == first
    assert len(there.entra.requests) > asked
    hands.at += RENEW_BEFORE_EXPIRY
    with pytest.raises(CredentialError):
        await tokens.token()
    there.entra.clear_failures()
    assert await tokens.token() != first


@pytest.mark.parametrize("code", ["503", "429", "AADSTS90033"])
async def test_a_short_trouble_is_not_noticed(there: RunningEntra, code: str) -> None:
    """Three tries."""
    there.entra.refuse(code, times=2, retry_after=0)
    assert there.entra.is_valid_token(await source(there, Hands()).token())
    assert there.outcomes == [code, code, "ok"]


async def test_what_is_refused_for_good_is_asked_once(there: RunningEntra) -> None:
    """The error has the code of the cause."""
    with pytest.raises(CredentialError) as caught:
        await source(there, secret="wrong~secret").token()
    assert caught.value.code == "AADSTS7000215"
    assert there.outcomes == ["AADSTS7000215"]


async def test_retry_after_is_kept(there: RunningEntra) -> None:
    """An endpoint that wants a minute is not asked for a minute."""
    hands = Hands()
    there.entra.refuse("429", retry_after=60)
    tokens = source(there, hands)
    for _ in range(3):
        with pytest.raises(CredentialError):
            await tokens.token()
    assert there.outcomes == ["429"]
    hands.at += 60
    assert there.entra.is_valid_token(await tokens.token())


async def test_only_the_refused_token_is_forgotten(there: RunningEntra) -> None:
    """A late rejection of an old token does not discard the new one."""
    tokens = source(there)
    old = await tokens.token()
    tokens.forget(old)
    new = await tokens.token()
    tokens.forget(old)
    assert await tokens.token() == new != old


async def test_a_login_by_token(simulator: Simulator, there: RunningEntra) -> None:
    """The server checks the octets of XOAUTH2 and the token in them."""
    session = await open_session(upstream(simulator, there.ca_file), OAuth(MAILBOX, source(there)))
    assert isinstance(session, Session)
    assert [(login.mechanism, login.ok) for login in simulator.logins] == [("XOAUTH2", True)]
    await session.quit()


async def test_a_refused_token_is_renewed_once(simulator: Simulator, there: RunningEntra) -> None:
    """After a revoked token, the handshake logs in with a new one; both logins are in the dialogue."""
    tokens = source(there)
    await tokens.token()
    there.entra.revoke()
    session = await open_session(upstream(simulator, there.ca_file), OAuth(MAILBOX, tokens))
    assert isinstance(session, Session)
    assert [login.ok for login in simulator.logins] == [False, True]
    assert there.outcomes == ["ok", "ok"]
    await session.quit()


async def test_a_new_token_that_is_refused_too_ends_it(simulator: Simulator, there: RunningEntra) -> None:
    """Two logins, no third: then it is not the token."""
    simulator.accounts.add(Account(MAILBOX))
    refused = await open_session(upstream(simulator, there.ca_file), OAuth(MAILBOX, source(there)))
    assert isinstance(refused, Refusal)
    assert (refused.phase, refused.reply.code) == (Phase.AUTH, 535)
    assert [login.ok for login in simulator.logins] == [False, False]
    assert [line.text for line in refused.dialogue].count("AUTH XOAUTH2 ****") == 2
    assert there.outcomes == ["ok", "ok"]


async def test_another_refusal_is_none_of_the_tokens(simulator: Simulator, there: RunningEntra) -> None:
    """454 is no reason to ask for a new one."""
    simulator.faults.add(Fault(Point.AUTH, Say("454 4.7.0 Temporary authentication failure")))
    refused = await open_session(upstream(simulator, there.ca_file), OAuth(MAILBOX, source(there)))
    assert isinstance(refused, Refusal)
    assert len(simulator.logins) == 1
    assert there.outcomes == ["ok"]


async def test_without_a_token_no_connection_is_made(simulator: Simulator, there: RunningEntra) -> None:
    """No connection, no login; the failure bears the code."""
    with pytest.raises(SessionError) as caught:
        await open_session(upstream(simulator, there.ca_file), OAuth(MAILBOX, source(there, secret="wrong~secret")))
    failure = caught.value.failure
    assert (failure.phase, failure.kind, failure.code) == (Phase.AUTH, FailureKind.CREDENTIAL, "AADSTS7000215")
    assert simulator.sessions == []
