"""Decide to which addresses the hub may open a connection. Pure, but for the policy of the process.

An address is judged after the name was resolved, on each new connection, whatever it is for: a name that was harmless
when it was saved may lead elsewhere later. Only `is_address_allowed` decides.
"""

import re
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# In EGRESS_ALLOW: every public address.
PUBLIC = "public"


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


# Addresses to which no setting lets the hub connect: link-local and multicast ones, the unspecified address, and
# metadata services that hand out the credentials of a machine in a cloud (Alibaba, Oracle, Azure, AWS, Google,
# Scaleway; the others are link-local).
FORBIDDEN_NETWORKS = _networks(
    *("0.0.0.0/32", "169.254.0.0/16", "224.0.0.0/4", "::/128", "fe80::/10", "ff00::/8"),
    *("100.100.100.200/32", "192.0.0.192/32", "168.63.129.16/32"),
    *(
        "fd00:c1::a9fe:a9fe/128",
        "fd00:ec2::23/128",
        "fd00:ec2::254/128",
        "fd20:ce::254/128",
        "fd00:42::42/128",
    ),
)
# Loopback and private addresses: those of one machine or organisation.
INTERNAL_NETWORKS = _networks(
    *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "::1/128", "fc00::/7")
)
# Written down, because `is_global` of Python differs between its versions. The registries of special-purpose addresses:
# https://www.iana.org/assignments/iana-ipv4-special-registry and https://www.iana.org/assignments/iana-ipv6-special-registry
_SPECIAL_NETWORKS = _networks(
    *(
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
    ),
    *(
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
    ),
    *("224.0.0.0/4", "240.0.0.0/4", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")

# Prefixes under which an IPv6 address stands for the IPv4 address in its last 32 bits: RFC 6052, RFC 8215, RFC 2765
# (SIIT), and the IPv4-compatible form of RFC 4291, which has ::1 and :: for itself.
_NAT64_PREFIX = IPv6Network("64:ff9b::/96")
_LOCAL_NAT64_PREFIX = IPv6Network("64:ff9b:1::/48")
_TRANSLATION_PREFIXES = tuple(IPv6Network(text) for text in ("::ffff:0:0:0/96", "::/96"))
# Interface identifiers that end with an IPv4 address (RFC 5214).
_ISATAP_IDENTIFIERS = (0x00005EFE, 0x02005EFE)
_LAST_RESERVED_ADDRESS = 1
_LAST_32_BITS = 0xFFFFFFFF

_HOST_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?\.)*[a-z](?:[a-z0-9-]*[a-z0-9])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """What the hub may contact: networks, hosts whatever their addresses are, and all public addresses or not.

    Without arguments: public addresses only.
    """

    networks: tuple[Network, ...] = ()
    hosts: frozenset[str] = frozenset()
    allows_public: bool = True

    def allows(self, host: str, address: Address) -> bool:
        """Return True if the policy lists the host, or the address with those that are embedded in it."""
        return host in self.hosts or all(self._lists(one) for one in _judged_addresses(address))

    def _lists(self, address: Address) -> bool:
        return (self.allows_public and _is_public(address)) or _is_in(address, self.networks)


# With DEBUG on and nothing configured.
DEVELOPMENT_POLICY = EgressPolicy(INTERNAL_NETWORKS)


def parse_egress_policy(text: str) -> EgressPolicy:
    """Parse networks, host names and the word `public`, separated by commas. Raises ValueError with the number of the
    entry that is neither; an entry may be an address with a password, so it is not repeated.
    """
    networks: list[Network] = []
    hosts: set[str] = set()
    for number, entry in enumerate(text.lower().split(","), 1):
        try:
            networks.append(ip_network(entry.strip()))
        except ValueError:
            host = normalize_host(entry.strip())
            if not _HOST_NAME.fullmatch(host):
                raise ValueError(f"entry {number} is neither a network nor a host name") from None
            hosts.add(host)
        else:
            if any(_contains(forbidden, networks[-1]) for forbidden in FORBIDDEN_NETWORKS):
                raise ValueError(f"entry {number} is a network to which the hub never connects")
    return EgressPolicy(tuple(networks), frozenset(hosts - {PUBLIC}), PUBLIC in hosts)


def normalize_host(host: str) -> str:
    """Return a host name as policies list it: in lower case, without brackets and without a full stop at its end."""
    return host.lower().strip("[]").removesuffix(".")


def read_address(host: str) -> Address | None:
    """Return the address that a host is, however it is spelled: a resolver also takes decimal, octal and hexadecimal
    numbers for one (`2130706433`, `0177.1`). None for a name.
    """
    literal = normalize_host(host)
    try:
        return ip_address(literal)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(literal))
    except (OSError, UnicodeError):
        return None


def is_loopback(host: str) -> bool:
    """Return True for a host of this computer: an address of loopback, or `localhost`."""
    address = read_address(host)
    return address.is_loopback if address else normalize_host(host) == "localhost"


# Public addresses only, until `use_egress_policy` is called.
_policy = EgressPolicy()


def use_egress_policy(policy: EgressPolicy) -> None:
    """Judge the connections of this process by this policy."""
    global _policy  # noqa: PLW0603
    _policy = policy


def is_address_allowed(host: str, text: str, networks: Iterable[Network] = ()) -> bool:
    """Return True if the hub may connect to an address, to which the name `host` was resolved. `networks`, unless they
    are empty, narrow what the policy allows.

    An IPv6 address that a gateway or tunnel turns into IPv4 addresses must be allowed, and so must each of these.
    """
    address, narrowed = ip_address(text), tuple(networks)
    if is_address_forbidden(address) or not _policy.allows(normalize_host(host), address):
        return False
    return not narrowed or all(_is_in(one, narrowed) for one in _judged_addresses(address))


def is_address_forbidden(address: Address) -> bool:
    """Return True for an address to which no policy lets the hub connect."""
    judged = (*_judged_addresses(address), *_local_nat64_forms(address, 4))
    return any(_is_in(one, FORBIDDEN_NETWORKS) for one in judged)


def _judged_addresses(address: Address) -> Sequence[Address]:
    """Return the addresses that must all be allowed: the address, unless it is only a spelling of an IPv4 address, and
    the IPv4 addresses that it may stand for.
    """
    if isinstance(address, IPv4Address):
        return (address,)
    bits = int(address)
    last = IPv4Address(bits & _LAST_32_BITS)
    if address.ipv4_mapped or address in _NAT64_PREFIX:
        return (last,)
    if address.sixtofour:
        return address, address.sixtofour
    if address.teredo:
        return address, *address.teredo
    if address in _LOCAL_NAT64_PREFIX:
        return address, *_local_nat64_forms(address, 2)
    is_translated = bits > _LAST_RESERVED_ADDRESS and _is_in(address, _TRANSLATION_PREFIXES)
    is_isatap = bits >> 32 & _LAST_32_BITS in _ISATAP_IDENTIFIERS
    return (address, last) if is_translated or is_isatap else (address,)


def _local_nat64_forms(address: Address, number: int) -> Sequence[IPv4Address]:
    """Return the IPv4 addresses that an address of the local NAT64 prefix may stand for: if the gateway uses a prefix
    of 96, 48, 56 or 64 bits, of which the first `number` are tried. It puts no part of an IPv4 address into bits 64 to
    71 (RFC 6052, 2.2).
    """
    if isinstance(address, IPv4Address) or address not in _LOCAL_NAT64_PREFIX:
        return ()
    bits = int(address)
    forms = (
        bits & _LAST_32_BITS,
        (bits >> 64 & 0xFFFF) << 16 | bits >> 40 & 0xFFFF,
        (bits >> 64 & 0xFF) << 24 | bits >> 32 & 0xFFFFFF,
        bits >> 24 & _LAST_32_BITS,
    )
    # Zero: these bits of the address are not used.
    return [IPv4Address(form) for form in forms[:number] if form]


def _is_public(address: Address) -> bool:
    is_unicast = isinstance(address, IPv4Address) or address in _GLOBAL_UNICAST
    return is_unicast and not _is_in(address, _SPECIAL_NETWORKS)


def _is_in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def _contains(network: Network, other: Network) -> bool:
    return other.network_address in network and other.prefixlen >= network.prefixlen
