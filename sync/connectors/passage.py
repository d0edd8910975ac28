"""The state of one exchange: its deadline, its byte count, and the socket that it opens.

Standard library only. The carrying library opens its sockets and reads its answers through what is here.
"""

import http.client
import io
import socket
import threading
from typing import Any, cast

from sync.connectors.addresses import is_permitted
from sync.connectors.deadline import Deadline
from sync.connectors.resolving import addresses
from sync.connectors.wire import Wire

HEADER_BYTES = 65_536
FRAMING_BYTES = 65_536


class TooLargeError(Exception):
    """Not an OSError, so that the layers between pass it through as it is."""


class Passage:
    """The state of one exchange, shared by the connection, its answer and `transmit`."""

    __slots__ = ("allowed", "deadline", "fresh", "reached", "received", "target", "wire")

    def __init__(self, wire: Wire, target: str) -> None:
        self.wire = wire
        self.target = target
        self.deadline = Deadline(wire.seconds)
        self.fresh = False
        self.reached = False
        self.received = 0
        self.allowed = HEADER_BYTES

    def count(self, size: int) -> None:
        self.received += size
        if self.received > self.allowed:
            raise TooLargeError


class _Current(threading.local):
    passage: Passage | None = None


current = _Current()


def current_passage() -> Passage:
    if current.passage is None:
        raise RuntimeError("a connection of this module is used by transmit only")
    return current.passage


class _Meter(io.RawIOBase):
    """Counts what is read from the socket before anything parses it: headers and chunk sizes included."""

    def __init__(self, raw: Any, passage: Passage) -> None:
        self._raw = raw
        self._passage = passage

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        size: int | None = self._raw.readinto(buffer)
        self._passage.count(size or 0)
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()


class MeteredResponse(http.client.HTTPResponse):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._passage = current_passage()
        self.fp: Any = io.BufferedReader(_Meter(cast(Any, self.fp).detach(), self._passage))

    def begin(self) -> None:
        super().begin()
        self._passage.allowed = self._passage.received + self._passage.wire.byte_cap + FRAMING_BYTES


def open_socket(host: str, port: int, passage: Passage) -> socket.socket:
    """Connect to the first permitted address that answers, all of them within the one deadline."""
    problem = OSError("no address that may be used")
    found = addresses(host, port, passage.deadline.remaining())
    for family, kind, protocol, _, address in found:
        if not is_permitted(str(address[0]), passage.wire.networks):
            continue
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(passage.deadline.remaining())
            sock.connect(address)
        except OSError as error:
            sock.close()
            problem = error
        else:
            return sock
    raise problem
