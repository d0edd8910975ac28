"""Resolve host names in bounded time, and decide which addresses a connection may use.

A few daemon threads a process do the lookups. Callers that need the same name at the same time share one
lookup, so a name server that hangs blocks one thread for each name. Private ranges are allowed, because the
systems may be internal.
"""

import os
import queue
import socket
import threading
from collections.abc import Iterable
from concurrent.futures import Future
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

Network = IPv4Network | IPv6Network

# Metadata services that hand out cloud credentials, besides the link-local ranges.
METADATA_NETWORKS = tuple(
    ip_network(text)
    for text in (
        *("100.100.100.200/32", "192.0.0.192/32", "168.63.129.16/32"),
        *("fd00:ec2::23/128", "fd00:ec2::254/128", "fd20:ce::254/128"),
    )
)

# Prefixes under which an IPv6 address stands for the IPv4 address in its last 32 bits: RFC 6052, RFC 8215, and the
# IPv4-compatible form of RFC 4291, which has ::1 and :: for itself.
TRANSLATION_PREFIXES = tuple(IPv6Network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "::/96"))
_LAST_RESERVED_ADDRESS = 1


def is_address_allowed(text: str, networks: Iterable[Network]) -> bool:
    """Return True if an address may be connected to. If `networks` is not empty, only addresses in it are
    allowed.
    """
    address = _canonical_address(text)
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    if any(address in network for network in METADATA_NETWORKS):
        return False
    allowed = tuple(networks)
    return not allowed or any(address in network for network in allowed)


def _canonical_address(text: str) -> IPv4Address | IPv6Address:
    address = ip_address(text)
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or address.sixtofour or _translated_address(address) or address
    return address


def _translated_address(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that a gateway would make of an address under a translation prefix, else None."""
    if int(address) <= _LAST_RESERVED_ADDRESS or not any(
        address in prefix for prefix in TRANSLATION_PREFIXES
    ):
        return None
    return IPv4Address(int(address) & 0xFFFFFFFF)


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
                self._threads += 1
                threading.Thread(target=self._serve_lookups, name="name-lookup", daemon=True).start()
        self._queue.put(name)
        return lookup

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
