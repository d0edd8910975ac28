"""The part of a client's address that is limited as one. Pure."""

from ipaddress import IPv6Address, ip_address, ip_network

# One customer usually gets a network of this size, and may use any address of it.
_IPV6_PREFIX = 64


def network_of(address: str) -> str:
    """Return an IPv4 address unchanged and an IPv6 address as its network, such as `2001:db8::/64`.

    Returns "" for anything that is not an address.
    """
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ip_network((parsed, _IPV6_PREFIX), strict=False))
