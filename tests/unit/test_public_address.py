"""Public addresses by an explicit list, the same with every version of Python."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.mail.webhook.rules import is_public


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "93.184.215.14", "2606:4700::6810:84e5", "64:ff9b::808:808", "2002:808:808::1", "::ffff:8.8.8.8"],
)
def test_public_addresses(address: str) -> None:
    """Also behind NAT64 (RFC 6052)."""
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.9.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
        *("100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fec0::1", "ff02::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "::7f00:1"),
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",  # Teredo, with 192.0.2.45 in it
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    """Loopback, private, link-local, shared, reserved, multicast, and those in transition addresses."""
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("192.0.0.192", "192.0.0.8", "192.0.0.9", "192.0.0.171", "168.63.129.16", "100.100.100.200", "192.88.99.1"),
        *("3fff::1", "3fff:fff:ffff::1", "5f00::1", "2001:2::1", "2001:20::1", "2001:30::1", "100::1", "fd00:ec2::254"),
        *("::ffff:168.63.129.16", "::ffff:192.0.0.192", "64:ff9b::a83f:8110", "64:ff9b::c000:c0", "2002:a83f:8110::1"),
        *("::ffff:0:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "ff0e::1", "4000::1", "fe80::1%1"),
    ],
)
def test_special_purpose_and_metadata_addresses_are_not_public(address: str) -> None:
    """Also those that some versions of Python call global, and those of clouds; mapped and by NAT64, too."""
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("168.63.129.15", "168.63.129.17", "192.0.1.1", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1"),
        *(
            "198.17.255.255",
            "198.20.0.1",
            "223.255.255.255",
            "2001:200::1",
            "2001:db9::1",
            "3fff:1000::1",
            "2620:0:1::1",
        ),
    ],
)
def test_the_neighbours_of_special_networks_are_public(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses(v=4))
def test_what_python_calls_private_is_not_public(ip: ipaddress.IPv4Address) -> None:
    """A mapped address is as public as its own."""
    if not ip.is_global or ip.is_multicast:
        assert not is_public(str(ip))
    assert is_public(f"::ffff:{ip}") == is_public(f"64:ff9b::{ip}") == is_public(str(ip))
