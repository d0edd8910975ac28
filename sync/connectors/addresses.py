"""Which resolved addresses a connection may use. Pure; asked at connect, when the name has been resolved.

Private ranges are not refused as such, because the systems we speak to may be internal ones.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network

# Where clouds hand credentials to whoever asks, beyond the link-local ranges.
METADATA = tuple(
    ip_network(text)
    for text in ("100.100.100.200/32", "192.0.0.192/32", "168.63.129.16/32", "fd00:ec2::254/128")
)

NAT64 = IPv6Network("64:ff9b::/96")


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
    """The IPv4 address that a NAT64 gateway makes of an address under its prefix (RFC 6052)."""
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in NAT64 else None
