"""Open connections kept between exchanges, for each origin and each set of trusted certificates."""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from sync.connectors.http.message_types import HttpEndpoint

MAX_IDLE = 32
MAX_ORIGINS = 64


class PoolableConnection(Protocol):
    """A connection that can be put aside."""

    @property
    def is_connected(self) -> bool:
        """Open, with nothing to be read: neither its end nor what nobody asked for."""

    def close(self) -> None:
        """Give its socket up."""


C = TypeVar("C", bound=PoolableConnection)


class OriginPool(Generic[C]):
    """The idle connections to one origin; the last one put aside is taken first."""

    def __init__(self, connect: Callable[[], C]) -> None:
        self._connect = connect
        # Appending and popping are atomic, so that no lock is needed.
        self._idle: list[C] = []
        self._is_closed = False

    def acquire_connection(self) -> C:
        """An idle connection that still stands, or a new one that is not open yet."""
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread was faster
                break
            if connection.is_connected:
                return connection
            connection.close()
        return self._connect()

    def return_connection(self, connection: C) -> None:
        """Put a connection aside for the next one who asks."""
        if self._is_closed or len(self._idle) >= MAX_IDLE:
            connection.close()
        else:
            self._idle.append(connection)

    def close_all(self) -> None:
        """Give the idle connections up, and those in use when they come back."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()


class ConnectionPool(Generic[C]):
    """The connections of a process. `connector` makes what opens connections of one kind; it may be slow."""

    def __init__(self, make_connect: Callable[[HttpEndpoint], Callable[[], C]]) -> None:
        self._make_connect = make_connect
        self._reset_after_fork()
        os.register_at_fork(after_in_child=self._reset_after_fork)

    def _reset_after_fork(self) -> None:
        """A child must not speak over its parent's connections, nor wait for a lock that a lost thread held."""
        self._lock = threading.Lock()
        self._origins: OrderedDict[tuple[object, ...], OriginPool[C]] = OrderedDict()

    def pool_for(self, endpoint: HttpEndpoint) -> OriginPool[C]:
        """The connections that a wire may use, made under its own terms; those used longest ago are given up."""
        key = (endpoint.origin, endpoint.ca_certificates, endpoint.allowed_networks)
        with self._lock:
            kept = self._origins.get(key)
            if kept is None:
                kept = self._origins[key] = OriginPool(self._make_connect(endpoint))
            self._origins.move_to_end(key)
            evicted = self._origins.popitem(last=False)[1] if len(self._origins) > MAX_ORIGINS else None
        if evicted is not None:
            evicted.close_all()
        return kept
