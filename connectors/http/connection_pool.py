"""Pool of open connections, by origin, trusted certificates and client certificate."""

import contextlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from connectors.http.message_types import HttpEndpoint

MAX_IDLE = 32
MAX_ORIGINS = 64


class PoolableConnection(Protocol):
    """A connection that a pool can hold."""

    @property
    def is_connected(self) -> bool:
        """True if the connection is open and has no unread bytes: neither its end nor unrequested data."""

    def close(self) -> None:
        """Close the socket."""


C = TypeVar("C", bound=PoolableConnection)


class _OriginPool(Generic[C]):
    """Idle connections to one origin. The most recently returned one is used first."""

    def __init__(self, connect: Callable[[], C]) -> None:
        self._connect = connect
        # Appending and popping are atomic, so that no lock is needed.
        self._idle: list[C] = []
        self._is_closed = False

    def acquire_connection(self) -> C:
        """Return an idle connection that is still open, or a new one that is not open yet."""
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:
                # Another thread was faster.
                break
            if connection.is_connected:
                return connection
            connection.close()
        return self._connect()

    def return_connection(self, connection: C) -> None:
        """Return a connection to the pool, or close it if the pool is full or closed."""
        if self._is_closed or len(self._idle) >= MAX_IDLE:
            connection.close()
        else:
            self._idle.append(connection)

    def close_all(self) -> None:
        """Close the idle connections now, and those in use when they are returned."""
        self._is_closed = True
        self.close_idle()

    def close_idle(self) -> None:
        """Close the idle connections."""
        with contextlib.suppress(IndexError):
            # Until it is empty: another thread may take the last one.
            while True:
                self._idle.pop().close()


class ConnectionPool(Generic[C]):
    """Connections of a process. `make_connect(endpoint)` returns a function that opens connections; it may be
    slow.
    """

    def __init__(self, make_connect: Callable[[HttpEndpoint], Callable[[], C]]) -> None:
        self._make_connect = make_connect
        self._reset_after_fork()
        os.register_at_fork(after_in_child=self._reset_after_fork)

    def _reset_after_fork(self) -> None:
        """Start empty in a forked child: it must not use its parent's connections, and a thread that did not survive
        the fork may hold the lock.
        """
        self._lock = threading.Lock()
        self._origins: OrderedDict[tuple[object, ...], _OriginPool[C]] = OrderedDict()

    def acquire_connection(self, endpoint: HttpEndpoint) -> C:
        """Return an idle connection that is still open, or a new one that is not open yet."""
        return self._pool_for(endpoint).acquire_connection()

    def return_connection(self, endpoint: HttpEndpoint, connection: C) -> None:
        """Keep a connection for another exchange, or close it if there are enough or its origin was evicted."""
        with self._lock:
            kept = self._origins.get(_pool_key(endpoint))
        if kept is None:
            connection.close()
        else:
            kept.return_connection(connection)

    def close_idle(self) -> None:
        """Close the idle connections to all origins, so that their file descriptors are free."""
        with self._lock:
            kept = list(self._origins.values())
        for pool in kept:
            pool.close_idle()

    def _pool_for(self, endpoint: HttpEndpoint) -> _OriginPool[C]:
        """Return the pool of an endpoint. Closes the least recently used pool above the limit."""
        key = _pool_key(endpoint)
        with self._lock:
            kept = self._origins.get(key)
            if kept is None:
                kept = self._origins[key] = _OriginPool(self._make_connect(endpoint))
            self._origins.move_to_end(key)
            evicted = self._origins.popitem(last=False)[1] if len(self._origins) > MAX_ORIGINS else None
        # Outside the lock, since closing sockets takes time.
        if evicted is not None:
            evicted.close_all()
        return kept


def _pool_key(endpoint: HttpEndpoint) -> tuple[object, ...]:
    """Return what exchanges must have in common to share connections."""
    return endpoint.origin, endpoint.ca_certificates, endpoint.allowed_networks, endpoint.client_certificate
