"""Rules of webhook URLs and of retries."""

import pytest

from app.mail.webhook.rules import RETRY_DELAYS, TargetError, redelivery_delay, target


def test_a_url_has_the_host_and_port_of_the_connection() -> None:
    """And the authority for the Host header."""
    read = target("https://Hooks.contoso.com:8443/a%20b?c=d&e", private=False)
    assert (read.scheme, read.host, read.port) == ("https", "hooks.contoso.com", 8443)
    assert (read.authority, read.path) == ("Hooks.contoso.com:8443", "/a%20b?c=d&e")
    assert target("https://contoso.com", private=False).path == "/"
    assert (target("http://[::1]:80/", private=True).host, target("http://x/", private=True).port) == ("::1", 80)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://contoso.com/", "It must begin with https://"),
        ("ftp://contoso.com/", "It must be a URL such as"),
        ("contoso.com/hook", "It must be a URL such as"),
        ("https:///hook", "It must be a URL such as"),
        ("https://contoso.com:port/", "It must be a URL such as"),
        ("https://contoso.com:99999/", "It must be a URL such as"),
        ("https://[::1/", "It must be a URL such as"),
        ("https://user:secret@contoso.com/", "It has a user"),
        ("https://@contoso.com/", "It has a user"),
        ("https://contoso.com/#part", "It has a user or a fragment"),
        ("https://contoso.com/ä", "escape others as %XX"),
        ("https://contoso.com/ x", "escape others as %XX"),
        ("https://contoso.com/\r\nx: y", "escape others as %XX"),
        ("https://contoso.com\\@127.0.0.1/", "escape others as %XX"),
        ("https://contoso.com/" + "x" * 2048, "at most 2048 characters"),
        ("https://a..b/", "Its host is not a host name"),
        ("https://.contoso.com/", "Its host is not a host name"),
        ("https://contoso..com/", "Its host is not a host name"),
        ("https://" + "a" * 64 + ".com/", "Its host is not a host name"),
        ("https://" + "a." * 127 + "com/", "Its host is not a host name"),
        ("https://con%74oso.com/", "Its host is not a host name"),
        ("https://[fe80::1%25eth0]/", "an address that is not public"),
        ("https://192.0.0.192/", "an address that is not public"),
        ("https://127.0.0.1/", "an address that is not public"),
        ("https://[::ffff:10.0.0.1]/", "an address that is not public"),
    ],
)
def test_an_invalid_url_is_refused_with_the_fix(url: str, sentence: str) -> None:
    with pytest.raises(TargetError, match=sentence.replace("(", r"\(")):
        target(url, private=False)


def test_the_schedule_is_that_of_standard_webhooks() -> None:
    """At once, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h and 24 h, with a fifth of jitter; then no more."""
    assert list(RETRY_DELAYS) == [0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]
    assert [redelivery_delay(tries, 0.0) for tries in range(1, 11)] == [*RETRY_DELAYS[1:], None]
    assert (redelivery_delay(1, -1.0), redelivery_delay(1, 1.0)) == (4.0, 6.0)
