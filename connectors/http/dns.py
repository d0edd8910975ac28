"""Resolve host names in bounded time.

A few daemon threads a process do the lookups. Callers that need the same name at the same time share one
lookup, so a name server that hangs blocks one thread for each name.
"""

import os
import queue
import socket
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from ipaddress import ip_address
from typing import Any

from connectors.http.egress import Network, is_address_allowed
from connectors.http.resource_shortage import require_free_descriptor, thread_shortage

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


class AddressNotAllowed(OSError):
    """A name has addresses, and the hub may connect to none of them."""


def resolve_allowed_addresses(
    host: str, port: int, seconds: float, networks: Sequence[Network] = ()
) -> AddressInfo:
    """Return the addresses of a host that the hub may connect to (`egress`). Raises AddressNotAllowed if it may connect
    to none of them, other OSErrors if the host is unknown, TimeoutError after `seconds`.
    """
    addresses = resolve_addresses(host, port, seconds)
    allowed = [one for one in addresses if is_address_allowed(host, str(one[4][0]), networks)]
    if not allowed:
        raise AddressNotAllowed("no allowed address")
    return allowed


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
