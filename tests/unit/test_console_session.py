"""Sessions and guesses by themselves: what is believed, for how long, and how much is remembered."""

from app.console.session import ALL_GUESSES, GUESSES, LIFE, Guard, Sessions

PASSWORD = "a-password-for-the-console"
NOW = 1_000_000.0


def test_a_session_lasts_its_time() -> None:
    """And not a second longer."""
    sessions = Sessions(PASSWORD)
    cookie = sessions.cookie(sessions.begin(NOW, operator=True))
    assert sessions.read(cookie, NOW) == sessions.read(cookie, NOW + LIFE - 1)
    assert sessions.read(cookie, NOW + LIFE) is None


def test_whose_it_is_stays_what_it_is() -> None:
    """A guest's cookie is a guest's."""
    sessions = Sessions(PASSWORD)
    for operator in (True, False):
        session = sessions.begin(NOW, operator=operator)
        assert sessions.read(sessions.cookie(session), NOW) == session


def test_a_token_is_of_one_session() -> None:
    """And of one password."""
    sessions, others = Sessions(PASSWORD), Sessions("another-password-than-that")
    one, two = sessions.begin(NOW, operator=True), sessions.begin(NOW, operator=True)
    assert sessions.bears(one, sessions.token(one))
    assert not sessions.bears(two, sessions.token(one))
    assert not others.bears(one, sessions.token(one))
    assert others.read(sessions.cookie(one), NOW) is None


def test_sessions_that_were_ended_are_forgotten_with_their_time() -> None:
    """So that nothing grows."""
    sessions = Sessions(PASSWORD)
    for number in range(3000):
        sessions.end(sessions.begin(NOW, operator=True), NOW + number / 1000)
    last = sessions.begin(NOW, operator=True)
    sessions.end(last, NOW)
    assert sessions.read(sessions.cookie(last), NOW) is None
    assert len(sessions._ended) <= 1000
    sessions.end(sessions.begin(NOW + 2 * LIFE, operator=True), NOW + 2 * LIFE)
    assert len(sessions._ended) == 1


def test_the_password_and_nothing_else() -> None:
    """Whatever is typed."""
    sessions = Sessions(PASSWORD)
    assert sessions.knows(PASSWORD)
    for other in ("", PASSWORD[:-1], PASSWORD + " ", PASSWORD.upper(), "\udcff", "é" * 10_000):
        assert not sessions.knows(other)


def test_five_guesses_in_any_minute() -> None:
    """The next one may come a minute after the first of the last five."""
    guard = Guard()
    for second in range(GUESSES):
        assert guard.wait("192.0.2.1", second) == 0
        guard.wrong("192.0.2.1", second)
    assert guard.wait("192.0.2.1", 10) == 50
    assert guard.wait("192.0.2.2", 10) == 0
    assert guard.wait("192.0.2.1", 60) == 0
    guard.wrong("192.0.2.1", 60)
    assert guard.wait("192.0.2.1", 60) == 1


def test_one_network_of_ipv6_is_one_address() -> None:
    """Whoever has one of its addresses has all 2^64 of them."""
    guard = Guard()
    for number in range(GUESSES):
        guard.wrong(f"2001:db8::{number}", 0)
    assert guard.wait("2001:db8::ffff:1", 1) == 59
    assert guard.wait("2001:db8:0:1::1", 1) == 0


def test_all_addresses_together() -> None:
    """Many of them guess no faster than ALL_GUESSES a minute, and cost no more memory."""
    guard = Guard()
    for number in range(5000):
        guard.wrong(f"10.0.{number // 256}.{number % 256}", number / 1000)
    assert guard.wait("192.0.2.1", 5) == (5000 - ALL_GUESSES) / 1000 + 55
    assert len(guard._wrong) <= 1000
