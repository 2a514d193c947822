"""Session cookies, CSRF tokens and the login throttle of the console."""

import tracemalloc

from app.console.session import MAX_LOGIN_DELAY, SESSION_LIFETIME, LoginThrottle, Role, Sessions

PASSWORD = "a-password-for-the-console"
READ_PASSWORD = "a-password-to-read-the-console"
NOW = 1_000_000.0


def test_a_session_lasts_its_time() -> None:
    """A session ends exactly after its lifetime."""
    sessions = Sessions(PASSWORD)
    cookie = sessions.cookie(sessions.begin(NOW, Role.OPERATOR))
    assert sessions.read(cookie, NOW) == sessions.read(cookie, NOW + SESSION_LIFETIME - 1)
    assert sessions.read(cookie, NOW + SESSION_LIFETIME) is None


def test_a_session_has_the_role_that_it_began_with() -> None:
    sessions = Sessions(PASSWORD, READ_PASSWORD)
    for role in Role:
        session = sessions.begin(NOW, role)
        assert sessions.read(sessions.cookie(session), NOW) == session
        assert session.logged_in is (role is not Role.GUEST)


def test_another_role_in_a_cookie_is_refused() -> None:
    """A reader cannot make the cookie of an operator."""
    sessions = Sessions(PASSWORD, READ_PASSWORD)
    for role in Role:
        _, rest = sessions.cookie(sessions.begin(NOW, role)).split(".", 1)
        assert [sessions.read(f"{other}.{rest}", NOW) for other in Role if other is not role] == [None, None]


def test_a_new_read_password_ends_the_sessions_of_readers_alone() -> None:
    """So does its removal."""
    sessions = Sessions(PASSWORD, READ_PASSWORD)
    cookies = {role: sessions.cookie(sessions.begin(NOW, role)) for role in Role}
    for later in (Sessions(PASSWORD, "another-password-to-read"), Sessions(PASSWORD)):
        assert later.read(cookies[Role.READER], NOW) is None
        assert later.read(cookies[Role.OPERATOR], NOW) is not None


def test_a_csrf_token_is_valid_for_one_session_and_password() -> None:
    sessions, others = Sessions(PASSWORD), Sessions("another-password-than-that")
    one, two = sessions.begin(NOW, Role.OPERATOR), sessions.begin(NOW, Role.OPERATOR)
    assert sessions.check_csrf_token(one, sessions.token(one))
    assert not sessions.check_csrf_token(two, sessions.token(one))
    assert not others.check_csrf_token(one, sessions.token(one))
    assert others.read(sessions.cookie(one), NOW) is None


def test_each_password_has_its_role() -> None:
    """Any text can be compared."""
    sessions = Sessions(PASSWORD, READ_PASSWORD)
    assert sessions.role_of(PASSWORD) is Role.OPERATOR
    assert sessions.role_of(READ_PASSWORD) is Role.READER
    assert Sessions(PASSWORD).role_of(READ_PASSWORD) is None
    for other in ("", PASSWORD[:-1], PASSWORD + " ", PASSWORD.upper(), "\udcff", "é" * 10_000):
        assert sessions.role_of(other) is None


def test_each_attempt_of_an_address_waits_longer() -> None:
    """The delay grows up to a maximum, and ends after a minute."""
    throttle = LoginThrottle()
    delays = [throttle.begin("192.0.2.1", second / 10) for second in range(30)]
    assert delays[:9] == [0, 0, 0, 0.25, 0.5, 1, 2, 4, MAX_LOGIN_DELAY]
    assert {*delays[9:]} == {MAX_LOGIN_DELAY}
    assert throttle.begin("192.0.2.2", 10) == 0
    assert throttle.begin("192.0.2.1", 63) == 0


def test_attempts_at_once_are_counted_when_they_begin() -> None:
    """Concurrent attempts are delayed like successive ones."""
    throttle = LoginThrottle()
    assert [throttle.begin("192.0.2.1", 7.0) for _ in range(5)] == [0, 0, 0, 0.25, 0.5]


def test_the_right_password_counts_for_nothing() -> None:
    """Successful logins are not delayed, and do not change the counts of other addresses."""
    throttle = LoginThrottle()
    for second in range(50):
        assert throttle.begin("192.0.2.1", second / 10) == 0
        throttle.uncount_last("192.0.2.1")
    for _ in range(4):
        throttle.begin("192.0.2.1", 6)
    throttle.uncount_last("192.0.2.1")
    assert throttle.begin("192.0.2.1", 6) == 0.25


def test_one_network_of_ipv6_is_one_address() -> None:
    """All addresses of an IPv6 /64 network count as one."""
    throttle = LoginThrottle()
    for number in range(8):
        throttle.begin(f"2001:db8::{number}", 0)
    assert throttle.begin("2001:db8::ffff:1", 1) == MAX_LOGIN_DELAY
    assert throttle.begin("2001:db8:0:1::1", 1) == 0


def test_all_addresses_together() -> None:
    """Attempts of many addresses are delayed up to the same maximum, however many there are."""
    throttle = LoginThrottle()
    delays = [throttle.begin(f"10.0.{number // 256}.{number % 256}", number / 1000) for number in range(5000)]
    assert delays[:36] == [0] * 36
    assert max(delays) == MAX_LOGIN_DELAY
    assert throttle.begin("192.0.2.1", 5) == MAX_LOGIN_DELAY
    assert throttle.begin("192.0.2.2", 66) == 0


def test_counted_attempts_take_bounded_memory() -> None:
    throttle = LoginThrottle()

    def grown_by(addresses: range) -> int:
        before, _ = tracemalloc.get_traced_memory()
        for number in addresses:
            throttle.begin(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 0)
        return tracemalloc.get_traced_memory()[0] - before

    tracemalloc.start()
    try:
        first, more = grown_by(range(1000)), grown_by(range(1000, 20_000))
    finally:
        tracemalloc.stop()
    assert more < first
