"""The state of one exchange: its deadline, its byte count, the socket that it opens and the answer that it reads.

Standard library only. The carrying library opens its sockets through what is here.
"""

import contextlib
import http.client
import io
import socket
from collections.abc import Mapping
from typing import Any, cast

from sync.connectors.http.deadline import Deadline
from sync.connectors.http.dns import addresses, is_permitted
from sync.connectors.http.messages import Answer, Unbelievable, Wire
from sync.connectors.http.plain_heads import Head, read_head

HEADER_BYTES = 65_536
FRAMING_BYTES = 65_536
PART_BYTES = 65_536


class TooLargeError(Exception):
    """Not an OSError, so that the layers between pass it through as it is."""


class Passage:
    """The state of one exchange, shared by the connection, its answer and `transmit`."""

    __slots__ = ("allowed", "deadline", "fresh", "reached", "received", "wire")

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.deadline = Deadline(wire.seconds)
        self.fresh = False
        self.reached = False
        self.received = 0
        self.allowed = HEADER_BYTES

    def count(self, size: int) -> None:
        """Add what was read. TooLargeError above what is allowed."""
        self.received += size
        if self.received > self.allowed:
            raise TooLargeError


class _Meter(io.RawIOBase):
    """Counts what is read from the socket before anything parses it: headers and chunk sizes included.

    The answer takes it for a socket and makes it its file. It never closes the socket, which is its connection's.
    """

    def __init__(self, sock: socket.socket, passage: Passage, begun: bytes) -> None:
        self._sock = sock
        self._passage = passage
        self._begun = begun

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._begun:
            part, self._begun = self._begun[: len(buffer)], self._begun[len(buffer) :]
            buffer[: len(part)] = part
            return len(part)
        size = self._sock.recv_into(buffer)
        self._passage.count(size)
        return size

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)


class MeteredResponse(http.client.HTTPResponse):
    """The answer to a request of `method` that was sent over `sock`, `begun` being what was read of it already."""

    def __init__(self, sock: socket.socket, passage: Passage, method: str, begun: bytes = b"") -> None:
        super().__init__(cast(socket.socket, _Meter(sock, passage, begun)), method=method)
        self._passage = passage

    def read_answer(self) -> Answer:
        """The whole answer. Raises what an untrusted answer may bring: TooLargeError, Unbelievable, OSError,
        HTTPException, ValueError."""
        passage = self._passage
        self.begin()
        passage.allowed = passage.received + passage.wire.byte_cap + FRAMING_BYTES
        headers = _merged(self.headers)
        _refuse_encoded(headers, passage)
        if "content-length" in headers and not self.chunked:
            self._check_length(headers["content-length"])
        body = self._body(passage.wire.byte_cap)
        return Answer(self.status, headers, body, passage.received)

    @property
    def leaves_open(self) -> bool:
        """Whether the connection may carry another request, once this answer has been read."""
        return not self.will_close and self.status >= 200

    def _check_length(self, stated: str) -> None:
        """Lengths that differ, or that are no numbers, would be read as another answer by somebody else on the
        way (RFC 9112, 6.3)."""
        lengths = {length.strip() for length in stated.split(",")}
        if self.length is None or len(lengths) > 1 or not all(map(_is_number, lengths)):
            raise http.client.HTTPException("no length")

    def _body(self, cap: int) -> bytes:
        body = self.read(cap + 1)
        if len(body) > cap:
            raise TooLargeError
        if self.length:
            raise http.client.IncompleteRead(body)
        return body


def receive(sock: socket.socket, passage: Passage, method: str) -> tuple[Answer, bool]:
    """The whole answer, and whether the connection may carry another request. Raises as `read_answer` does."""
    data = sock.recv(PART_BYTES)
    passage.count(len(data))
    head = read_head(data) if method != "HEAD" else None
    if head is not None and head.length <= passage.wire.byte_cap:
        return _plain(sock, passage, head, data)
    with contextlib.closing(MeteredResponse(sock, passage, method, data)) as response:
        return response.read_answer(), response.leaves_open


def _plain(sock: socket.socket, passage: Passage, head: Head, data: bytes) -> tuple[Answer, bool]:
    _refuse_encoded(head.headers, passage)
    passage.allowed = passage.received + passage.wire.byte_cap + FRAMING_BYTES
    parts, missing = [data[head.ends_at :]], head.length - (len(data) - head.ends_at)
    while missing > 0:
        part = sock.recv(min(missing, PART_BYTES))
        if not part:
            raise http.client.IncompleteRead(b"".join(parts))
        passage.count(len(part))
        parts.append(part)
        missing -= len(part)
    body = b"".join(parts)[: head.length]
    return Answer(head.status, head.headers, body, passage.received), missing == 0


def _refuse_encoded(headers: Mapping[str, str], passage: Passage) -> None:
    if headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
        raise Unbelievable("the answer is encoded", reached=True, received=passage.received)


def _merged(headers: http.client.HTTPMessage) -> Mapping[str, str]:
    """By lower-case name; those that come several times as the one list that they are (RFC 9110, 5.3)."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        known = name.lower()
        found[known] = f"{found[known]}, {value}" if known in found else value
    return found


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


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
