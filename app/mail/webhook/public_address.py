"""Public IP addresses, by an explicit list that does not depend on the version of Python. Pure.

The networks are those of IANA's special-purpose registries for IPv4 and IPv6, including the globally reachable
ones, where no webhook is, and the addresses at which clouds serve metadata and credentials to their machines.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_SPECIAL_4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network (RFC 791)
        "10.0.0.0/8",  # private use (RFC 1918)
        "100.64.0.0/10",  # shared address space (RFC 6598); Alibaba's metadata at 100.100.100.200
        "127.0.0.0/8",  # loopback (RFC 1122)
        "168.63.129.16/32",  # Azure's wire server
        "169.254.0.0/16",  # link-local (RFC 3927); metadata of most clouds at 169.254.169.254
        "172.16.0.0/12",  # private use (RFC 1918)
        "192.0.0.0/24",  # IETF protocol assignments (RFC 6890); Oracle's metadata at 192.0.0.192
        "192.0.2.0/24",  # documentation (RFC 5737)
        "192.31.196.0/24",  # AS112 (RFC 7535)
        "192.52.193.0/24",  # AMT (RFC 7450)
        "192.88.99.0/24",  # 6to4 relays, deprecated (RFC 7526)
        "192.168.0.0/16",  # private use (RFC 1918)
        "192.175.48.0/24",  # AS112 (RFC 7534)
        "198.18.0.0/15",  # benchmarking (RFC 2544)
        "198.51.100.0/24",  # documentation (RFC 5737)
        "203.0.113.0/24",  # documentation (RFC 5737)
        "224.0.0.0/4",  # multicast (RFC 5771)
        "240.0.0.0/4",  # reserved (RFC 1112), with the limited broadcast address
    )
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")  # all that IANA has given out; what is outside of it is not public
_SPECIAL_6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # IETF protocol assignments (RFC 2928), with Teredo, ORCHID, benchmarking, DRIP
        "2001:db8::/32",  # documentation (RFC 3849)
        "2620:4f:8000::/48",  # AS112 (RFC 7534)
        "3ffe::/16",  # the former 6bone (RFC 3701)
        "3fff::/20",  # documentation (RFC 9637)
    )
)
# IPv6 networks whose addresses have an IPv4 address in them, and the bits to the right of it.
_EMBEDDING = (
    (IPv6Network("::ffff:0:0/96"), 0),  # IPv4-mapped (RFC 4291 §2.5.5.2)
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64 (RFC 6052 §2.1)
    (IPv6Network("2002::/16"), 80),  # 6to4 (RFC 3056 §2)
)


def is_public(address: str) -> bool:
    """Return True if an IP address is public. An embedded IPv4 address decides for its IPv6 address.

    Raises ValueError for text that is no address.
    """
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        inner = _embedded(ip)
        if inner is None:
            return ip in _GLOBAL_UNICAST and not any(ip in network for network in _SPECIAL_6)
        ip = inner
    return not any(ip in network for network in _SPECIAL_4)


def _embedded(ip: IPv6Address) -> IPv4Address | None:
    for network, right in _EMBEDDING:
        if ip in network:
            return IPv4Address(int(ip) >> right & 0xFFFF_FFFF)
    return None
