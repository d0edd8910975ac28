"""Resolve host names in bounded time, and decide which addresses a connection may use.

A few daemon threads a process do the lookups. Callers that need the same name at the same time share one
lookup, so a name server that hangs blocks one thread for each name. Private ranges are allowed, because the
systems may be internal.
"""

import os
import queue
import socket
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from connectors.http.resource_shortage import require_free_descriptor, thread_shortage

Network = IPv4Network | IPv6Network

# Metadata services that hand out cloud credentials, besides the link-local ranges.
METADATA_NETWORKS = tuple(
    ip_network(text)
    for text in (
        *("100.100.100.200/32", "192.0.0.192/32", "168.63.129.16/32"),
        *("fd00:ec2::23/128", "fd00:ec2::254/128", "fd20:ce::254/128"),
    )
)

# Prefixes under which an IPv6 address stands for the IPv4 address in its last 32 bits: RFC 6052, RFC 8215, RFC 2765
# (SIIT), and the IPv4-compatible form of RFC 4291, which has ::1 and :: for itself.
TRANSLATION_PREFIXES = tuple(
    IPv6Network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0:0/96", "::/96")
)
# A gateway with a prefix of 48 bits puts the IPv4 address around bits 64 to 71 (RFC 6052, 2.2).
_SHORT_TRANSLATION_PREFIX = IPv6Network("64:ff9b:1::/48")
# Interface identifiers that end with an IPv4 address (RFC 5214).
_ISATAP_IDENTIFIERS = (0x00005EFE, 0x02005EFE)
_LAST_RESERVED_ADDRESS = 1
_LAST_32_BITS = 0xFFFFFFFF


def is_address_allowed(text: str, networks: Iterable[Network]) -> bool:
    """Return True if an address may be connected to. If `networks` is not empty, only addresses in it are
    allowed.

    An IPv6 address that a gateway or tunnel may turn into IPv4 addresses must pass the checks of all of these.
    """
    address, allowed = ip_address(text), tuple(networks)
    embedded = _embedded_addresses(address) if isinstance(address, IPv6Address) else []
    return all(_is_plain_address_allowed(one, allowed) for one in embedded or [address])


def _is_plain_address_allowed(address: IPv4Address | IPv6Address, allowed: Sequence[Network]) -> bool:
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    if any(address in network for network in METADATA_NETWORKS):
        return False
    return not allowed or any(address in network for network in allowed)


def _embedded_addresses(address: IPv6Address) -> list[IPv4Address | IPv6Address]:
    """Return the IPv4 addresses that the address may stand for; empty if it stands for itself alone."""
    if address.ipv4_mapped or address.sixtofour:
        return [address.ipv4_mapped or address.sixtofour or address]
    if address.teredo:
        return list(address.teredo)
    bits = int(address)
    last = IPv4Address(bits & _LAST_32_BITS)
    if bits >> 32 & _LAST_32_BITS in _ISATAP_IDENTIFIERS:
        return [address, last]
    if bits <= _LAST_RESERVED_ADDRESS or not any(address in prefix for prefix in TRANSLATION_PREFIXES):
        return []
    if address in _SHORT_TRANSLATION_PREFIX:
        return [last, IPv4Address((bits >> 64 & 0xFFFF) << 16 | bits >> 40 & 0xFFFF)]
    return [last]


MAX_THREADS = 8

HostAndPort = tuple[str, int]
# Family, kind, protocol, canonical name and socket address, as `socket.getaddrinfo` gives them.
AddressInfo = list[tuple[Any, ...]]


class HostResolver:
    """Lookup threads of a process, started on demand."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[HostAndPort] = queue.SimpleQueue()
        self._lookups: dict[HostAndPort, Future[AddressInfo]] = {}
        self._threads = 0

    def resolve_host(self, name: HostAndPort, seconds: float) -> AddressInfo:
        """Return the addresses of a host and port. Raises OSError if there are none, TimeoutError after
        `seconds`.
        """
        return self._start_lookup(name).result(seconds)

    def _start_lookup(self, name: HostAndPort) -> "Future[AddressInfo]":
        with self._lock:
            known = self._lookups.get(name)
            if known is not None:
                return known
            lookup = self._lookups[name] = Future()
            if self._threads < min(len(self._lookups), MAX_THREADS):
                self._start_thread(name)
        self._queue.put(name)
        return lookup

    def _start_thread(self, name: HostAndPort) -> None:
        """Start one more thread. Raises OSError, and drops the lookup, if there is no thread to serve it."""
        try:
            threading.Thread(target=self._serve_lookups, name="name-lookup", daemon=True).start()
        except RuntimeError as error:
            if not self._threads:
                del self._lookups[name]
                raise thread_shortage() from error
            return
        self._threads += 1

    def _serve_lookups(self) -> None:
        while True:
            self._run_lookup(self._queue.get())

    def _run_lookup(self, name: HostAndPort) -> None:
        addresses: AddressInfo = []
        problem: OSError | None = None
        try:
            addresses = _query_system(name)
        except OSError as error:
            problem = error
        # Removed before the result is set, so that later callers start a new lookup.
        with self._lock:
            lookup = self._lookups.pop(name)
        if problem is None:
            lookup.set_result(addresses)
        else:
            lookup.set_exception(problem)


_resolver = HostResolver()


def resolve_addresses(host: str, port: int, seconds: float) -> AddressInfo:
    """Return the addresses of a host in the system's order. Raises OSError if unknown, TimeoutError after
    `seconds`.
    """
    return (
        _query_system((host, port)) if _is_ip_literal(host) else _resolver.resolve_host((host, port), seconds)
    )


def _query_system(name: HostAndPort) -> AddressInfo:
    try:
        return list(socket.getaddrinfo(*name, type=socket.SOCK_STREAM))
    except OSError:
        # Without a descriptor the system calls a name unknown, or a module of its resolver fails with another error.
        require_free_descriptor()
        raise
    except UnicodeError:
        # A label too long for IDNA never reaches the system.
        raise OSError("no such host") from None


def _is_ip_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _reset_after_fork() -> None:
    """Replace the resolver in a forked child: threads do not survive a fork."""
    global _resolver  # noqa: PLW0603
    _resolver = HostResolver()


os.register_at_fork(after_in_child=_reset_after_fork)
