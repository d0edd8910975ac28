"""Which resolved addresses a connection may use. Pure; asked at connect, when the name has been resolved.

Private ranges are not refused as such, because the systems we speak to may be internal ones.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network

# Where clouds hand credentials to whoever asks, beyond the link-local ranges.
METADATA = tuple(
    ip_network(text)
    for text in (
        *("100.100.100.200/32", "192.0.0.192/32", "168.63.129.16/32"),
        *("fd00:ec2::23/128", "fd00:ec2::254/128", "fd20:ce::254/128"),
    )
)

# Prefixes under which an IPv6 address stands for the IPv4 address in its last 32 bits: RFC 6052, RFC 8215, and the
# IPv4-compatible form of RFC 4291, which has ::1 and :: for itself.
TRANSLATED = tuple(IPv6Network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "::/96"))
_OWN = 1


def is_permitted(text: str, networks: Iterable[Network]) -> bool:
    """Whether an address may be connected to; `networks`, where given, are the only ones allowed."""
    address = _canonical(text)
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    if any(address in network for network in METADATA):
        return False
    allowed = tuple(networks)
    return not allowed or any(address in network for network in allowed)


def _canonical(text: str) -> IPv4Address | IPv6Address:
    address = ip_address(text)
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or address.sixtofour or _translated(address) or address
    return address


def _translated(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a gateway may make of an address under such a prefix."""
    if int(address) <= _OWN or not any(address in prefix for prefix in TRANSLATED):
        return None
    return IPv4Address(int(address) & 0xFFFFFFFF)
