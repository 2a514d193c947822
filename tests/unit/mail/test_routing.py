"""Routing: the most specific pattern wins in any spelling, and the cost is independent of the number of pools."""

from fnmatch import fnmatchcase
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mail.message.address import parse_address
from app.mail.routing import PatternError, Routes, allowed, pattern

TAKEN = [
    ("Anna@Example.COM", "anna@example.com"),
    (" anna@example.com ", "anna@example.com"),
    ("*@Example.com", "*@example.com"),
    ("*@*.Example.com", "*@*.example.com"),
    ("*@bücher.example", "*@xn--bcher-kva.example"),
    ("*@*.BÜCHER.example", "*@*.xn--bcher-kva.example"),
    ("info@bücher.example", "info@xn--bcher-kva.example"),
    ("jörg@example.com", "jörg@example.com"),
    ("*", "*"),
    ("*@*", "*"),
]
REFUSED = [
    "",
    "example.com",
    "@example.com",
    "anna@",
    "*@",
    "*@*.",
    "*@com",
    "*@*.*.example.com",
    "*@shop.*.com",
    "shop-*@example.com",
    "shop?@example.com",
    "[ab]@example.com",
    "anna@*.example.com",
    "anna@*",
    "*@exa mple.com",
    "*@b@example.com",
    "Anna <anna@example.com>",
    "*@-example.com",
    "*@[192.0.2.1]",
]


@pytest.mark.parametrize(("text", "compared"), TAKEN)
def test_a_pattern_is_normalized(text: str, compared: str) -> None:
    """Lower case and A-labels."""
    assert pattern(text) == compared
    assert pattern(compared) == compared


@pytest.mark.parametrize("text", REFUSED)
def test_an_invalid_pattern_is_refused(text: str) -> None:
    """A wildcard in another place would match nothing."""
    with pytest.raises(PatternError) as raised:
        pattern(text)
    assert text == "" or text not in str(raised.value)


ROUTES = Routes.of(
    [
        ("rest", ["*"], None),
        ("below", ["*@*.contoso.com"], "Contoso <news@a.contoso.com>"),
        ("deep", ["*@*.eu.contoso.com"], "eu@x.eu.contoso.com"),
        ("domain", ["*@contoso.com", "*@shop.contoso.com"], None),
        ("exact", ["anna@shop.contoso.com", "ANNA@bücher.example"], None),
    ]
)


@pytest.mark.parametrize(
    ("sender", "pool"),
    [
        ("anna@shop.contoso.com", "exact"),
        ("ANNA@SHOP.CONTOSO.COM", "exact"),
        ("Anna <anna@shop.contoso.com>", "exact"),
        ("anna@BÜCHER.example", "exact"),
        ("anna@xn--bcher-kva.example", "exact"),
        ("bob@bücher.example", "rest"),
        ("bob@shop.contoso.com", "domain"),
        ("anna@contoso.com", "domain"),
        ("anna@x.contoso.com", "below"),
        ("anna@y.x.contoso.com", "below"),
        ("anna@eu.contoso.com", "below"),
        ("anna@x.eu.contoso.com", "deep"),
        ("anna@notcontoso.com", "rest"),
        ('"a@contoso.com"@evil.example', "rest"),
    ],
)
def test_the_most_specific_pattern_wins(sender: str, pool: str) -> None:
    """Address, domain, the nearest parent, `*`; the order of the pools is irrelevant."""
    assert ROUTES.route(parse_address(sender)) == pool


def test_an_unknown_sender_has_no_pool() -> None:
    """None, which the API turns into 403."""
    routes = Routes.of([("a", ["*@contoso.com"], None), ("b", ["*@*.fabrikam.com"], None)])
    for stranger in ("anna@example.com", "anna@contoso.com.example", "anna@sub.contoso.com", "anna@fabrikam.com"):
        assert routes.route(parse_address(stranger)) is None
    assert Routes.of([]).route(parse_address("anna@example.com")) is None


def test_the_first_default_sender_is_global() -> None:
    """A missing sender selects no pool."""
    assert ROUTES.default_sender == "Contoso <news@a.contoso.com>"
    assert Routes.of([("a", ["*"], None)]).default_sender is None


def test_one_pattern_has_one_pool() -> None:
    """In any spelling; repeated in one pool it is harmless."""
    with pytest.raises(ValueError, match="in the pools a and b"):
        Routes.of([("a", ["*@bücher.example"], None), ("b", ["*@XN--bcher-kva.example"], None)])
    assert Routes.of([("a", ["x@y.example", "X@y.example"], None)]).pools == {"x@y.example": "a"}


def test_any_pattern_of_a_key_allows_a_sender() -> None:
    anna = parse_address("Anna@shop.contoso.com")
    assert allowed(anna, ("billing@contoso.com", "*@*.CONTOSO.com"))
    assert not allowed(anna, ("billing@contoso.com", "*@contoso.com"))
    assert not allowed(anna, ())


LABEL = st.sampled_from(["a", "b", "contoso", "com"])
DOMAIN = st.lists(LABEL, min_size=2, max_size=4).map(".".join)
PATTERN = st.one_of(
    st.just("*"),
    DOMAIN.map("*@{}".format),
    DOMAIN.map("*@*.{}".format),
    st.tuples(LABEL, DOMAIN).map("@".join),
)


@given(st.lists(PATTERN, unique=True), LABEL, DOMAIN)
def test_a_route_equals_a_linear_search(patterns: list[str], local: str, domain: str) -> None:
    """Shell patterns; of the same kind the longer one is more specific."""
    sender = parse_address(f"{local}@{domain}")
    routes = Routes.of([(one, [one], None) for one in patterns])
    fit = [one for one in patterns if fnmatchcase(sender.addr_spec, one)]
    assert (routes.route(sender) is None) == (not fit) == (not allowed(sender, patterns))
    if fit:
        assert routes.route(sender) == max(fit, key=lambda one: (one != "*", -one.count("*"), len(one)))


def test_a_thousand_pools_cost_no_more_than_one() -> None:
    """A route takes a few lookups: ten thousand of them take well under a second."""
    routes = Routes.of([(f"p{n}", [f"*@d{n}.example", f"x@e{n}.example"], None) for n in range(1000)])
    sender = parse_address("anna@d999.example")
    begun = perf_counter()
    assert {routes.route(sender) for _ in range(10_000)} == {"p999"}
    assert perf_counter() - begun < 1.0
