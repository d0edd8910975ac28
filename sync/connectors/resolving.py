"""Looking host names up in bounded time, which the system's own lookup does not offer.

A few daemon threads a process make the lookups. Callers that want the same name at the same time share one
lookup, so that a name server which hangs can hold one thread for each name and no more.
"""

import os
import queue
import socket
import threading
from concurrent.futures import Future
from ipaddress import ip_address
from typing import Any

MOST_THREADS = 8

Name = tuple[str, int]
# Family, kind, protocol, canonical name and socket address, as `socket.getaddrinfo` gives them.
Found = list[tuple[Any, ...]]


class Resolver:
    """The threads of a process, started as they are needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted: queue.SimpleQueue[Name] = queue.SimpleQueue()
        self._lookups: dict[Name, Future[Found]] = {}
        self._threads = 0

    def look_up(self, name: Name, seconds: float) -> Found:
        """The addresses of a host and port. OSError if there are none, TimeoutError after `seconds`."""
        return self._lookup(name).result(seconds)

    def _lookup(self, name: Name) -> "Future[Found]":
        with self._lock:
            known = self._lookups.get(name)
            if known is not None:
                return known
            lookup = self._lookups[name] = Future()
            if self._threads < min(len(self._lookups), MOST_THREADS):
                self._threads += 1
                threading.Thread(target=self._run, name="name-lookup", daemon=True).start()
        self._wanted.put(name)
        return lookup

    def _run(self) -> None:
        while True:
            self._settle(self._wanted.get())

    def _settle(self, name: Name) -> None:
        found: Found = []
        problem: OSError | None = None
        try:
            found = _ask_system(name)
        except OSError as error:
            problem = error
        with self._lock:
            lookup = self._lookups.pop(name)
        if problem is None:
            lookup.set_result(found)
        else:
            lookup.set_exception(problem)


_resolver = Resolver()


def addresses(host: str, port: int, seconds: float) -> Found:
    """Where a host may be reached, in the system's order. OSError if unknown, TimeoutError when late."""
    return _ask_system((host, port)) if _is_literal(host) else _resolver.look_up((host, port), seconds)


def _ask_system(name: Name) -> Found:
    try:
        return list(socket.getaddrinfo(*name, type=socket.SOCK_STREAM))
    except UnicodeError:
        raise OSError("no such host") from None  # a label too long for IDNA never reaches the system


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _start_afresh() -> None:
    """Threads do not survive a fork."""
    global _resolver  # noqa: PLW0603
    _resolver = Resolver()


os.register_at_fork(after_in_child=_start_afresh)
