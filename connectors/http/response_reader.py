"""State of one exchange: its deadline, its byte count, and how it opens its socket and reads the response.

Standard library only; the HTTP library opens its sockets through this module.
"""

import contextlib
import http.client
import io
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from connectors.http.deadline import Deadline
from connectors.http.dns import resolve_allowed_addresses
from connectors.http.message_heads import ResponseHead, parse_response_head
from connectors.http.message_types import HttpEndpoint, HttpResponse, InvalidResponse
from connectors.http.resource_shortage import is_missing_address, is_resource_shortage

HEADER_BYTES = 65_536
# Room for chunk sizes and trailers in addition to the body.
FRAMING_BYTES = 65_536
CHUNK_BYTES = 65_536
# For an address that is not the last: a lost packet is sent again after one second, and again two seconds later.
MAX_CONNECT_SECONDS = 4.0
# Responses with these statuses have no body, whatever their headers say (RFC 9112, 6.3).
_INTERIM = frozenset(range(102, 200))
_END_OF_HEADERS = frozenset({b"\r\n", b"\n", b""})
_WITHOUT_CONTENT = frozenset({204, 304})


class ResponseTooLarge(Exception):
    """The response exceeds its limit. Not an OSError, so that the layers between do not catch it."""


@dataclass(slots=True)
class ExchangeState:
    """State of one exchange, shared by the connection, its response and `transmit_request`."""

    endpoint: HttpEndpoint
    deadline: Deadline
    is_new_connection: bool = False
    may_have_arrived: bool = False
    bytes_received: int = 0
    byte_limit: int = HEADER_BYTES

    def count_bytes(self, size: int) -> None:
        """Add bytes that were read. Raises ResponseTooLarge above the limit."""
        self.bytes_received += size
        if self.bytes_received > self.byte_limit:
            raise ResponseTooLarge


class _CountingSocket(io.RawIOBase):
    """Counts bytes from the socket before anything parses them, headers and chunk sizes included.

    HTTPResponse treats it as its socket and reads from it as a file. It never closes the socket, which
    belongs to the connection.
    """

    def __init__(self, sock: socket.socket, state: ExchangeState, already_read: bytes) -> None:
        self._sock = sock
        self._state = state
        self._already_read = already_read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._already_read:
            part, self._already_read = self._already_read[: len(buffer)], self._already_read[len(buffer) :]
            buffer[: len(part)] = part
            return len(part)
        size = self._sock.recv_into(buffer)
        self._state.count_bytes(size)
        return size

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)


class CountedResponse(http.client.HTTPResponse):
    """Response to a request of `method` over `sock`. `already_read` are bytes of it that were read before."""

    def __init__(
        self, sock: socket.socket, state: ExchangeState, method: str, already_read: bytes = b""
    ) -> None:
        super().__init__(cast(socket.socket, _CountingSocket(sock, state, already_read)), method=method)
        self._state = state
        self._may_have_late_body = False

    def read_response(self) -> HttpResponse:
        """Read the complete response. Raises what an untrusted response can cause: ResponseTooLarge,
        InvalidResponse, OSError, HTTPException, ValueError.
        """
        passage = self._state
        self.begin()
        # The headers have been read: from here on, the limit of the body counts.
        passage.byte_limit = passage.bytes_received + passage.endpoint.byte_cap + FRAMING_BYTES
        headers = _merge_headers(self.headers)
        _reject_encoded_body(headers, passage)
        if "transfer-encoding" in headers and (not self.chunked or self.version < 11):
            # `http.client` reads a body in any coding but `chunked` as if it had none.
            raise http.client.HTTPException("unknown transfer coding")
        if "content-length" in headers and not self.chunked:
            self._check_content_length(headers["content-length"])
        if self.status in _WITHOUT_CONTENT:
            body = b""
            self._may_have_late_body = self.chunked or headers.get("content-length", "0") != "0"
        else:
            body = self._read_body(passage.endpoint.byte_cap)
        return HttpResponse(self.status, headers, body, passage.bytes_received)

    def _read_status(self) -> tuple[int, int, str]:
        """Read the status line, after any interim responses, which `http.client` takes for the response itself, apart
        from 100 (RFC 9110, 15.2). Their number is limited by the bytes of the headers.
        """
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status not in _INTERIM:
                return version, status, reason
            while self.fp.readline(HEADER_BYTES) not in _END_OF_HEADERS:
                pass

    @property
    def leaves_connection_open(self) -> bool:
        """True if the connection can carry another request after this response has been read. Some servers send a body
        with a 204, which would be read as the next response.
        """
        return not self.will_close and self.status >= 200 and not self._may_have_late_body

    def _check_content_length(self, stated: str) -> None:
        """Raise HTTPException for lengths that differ or are not numbers: a proxy could read another response
        (RFC 9112, 6.3).
        """
        lengths = {length.strip() for length in stated.split(",")}
        if self.length is None or len(lengths) > 1 or not all(map(_is_decimal, lengths)):
            raise http.client.HTTPException("no length")

    def _read_body(self, cap: int) -> bytes:
        # One byte more, to notice a body that is too large.
        body = self.read(cap + 1)
        if len(body) > cap:
            raise ResponseTooLarge
        # With an amount, `read` returns a body that was cut without an error.
        if self.length:
            raise http.client.IncompleteRead(body)
        return body


def receive_response(sock: socket.socket, state: ExchangeState, method: str) -> tuple[HttpResponse, bool]:
    """Read the complete response. Returns it, and True if the connection can be reused. Raises the exceptions
    of `read_response`.
    """
    data = sock.recv(CHUNK_BYTES)
    state.count_bytes(len(data))
    head = parse_response_head(data) if method != "HEAD" else None
    if head is not None and head.content_length <= state.endpoint.byte_cap:
        return _receive_plain_body(sock, state, head, data)
    with contextlib.closing(CountedResponse(sock, state, method, data)) as response:
        return response.read_response(), response.leaves_connection_open


def _receive_plain_body(
    sock: socket.socket, state: ExchangeState, head: ResponseHead, data: bytes
) -> tuple[HttpResponse, bool]:
    _reject_encoded_body(head.headers, state)
    state.byte_limit = state.bytes_received + state.endpoint.byte_cap + FRAMING_BYTES
    parts, missing = [data[head.body_offset :]], head.content_length - (len(data) - head.body_offset)
    while missing > 0:
        part = sock.recv(min(missing, CHUNK_BYTES))
        if not part:
            raise http.client.IncompleteRead(b"".join(parts))
        state.count_bytes(len(part))
        parts.append(part)
        missing -= len(part)
    body = b"".join(parts)[: head.content_length]
    # Bytes beyond the stated length would be read as the next response: such a connection is not reused.
    return HttpResponse(head.status, head.headers, body, state.bytes_received), missing == 0


def _reject_encoded_body(headers: Mapping[str, str], state: ExchangeState) -> None:
    # `identity` was requested, and a compressed body could exceed the byte cap once it is decoded.
    if headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
        raise InvalidResponse(
            "the response is compressed", may_have_arrived=True, bytes_received=state.bytes_received
        )


def _merge_headers(headers: http.client.HTTPMessage) -> Mapping[str, str]:
    """Return the headers by lower-case name; repeated ones are joined as one list (RFC 9110, 5.3)."""
    merged: dict[str, str] = {}
    for name, value in headers.items():
        known = name.lower()
        text = value.strip(" \t")
        merged[known] = f"{merged[known]}, {text}" if known in merged else text
    return merged


def _is_decimal(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _connect_seconds(remaining: float, untried: int) -> float:
    """Return how long to wait for one address: not so long that nothing is left for those that are untried yet."""
    return min(remaining / (untried + 1), MAX_CONNECT_SECONDS) if untried else remaining


def open_socket(host: str, port: int, state: ExchangeState) -> socket.socket:
    """Connect to the first allowed address that answers, within the one deadline of the exchange. An address that
    does not answer leaves time for the others.

    The addresses that are judged are those that are connected to: the name is not resolved again.
    """
    nothing_tried = problem = OSError("no address")
    permitted = resolve_allowed_addresses(
        host, port, state.deadline.remaining_seconds(), state.endpoint.allowed_networks
    )
    for number, (family, kind, protocol, _, address) in enumerate(permitted, 1):
        sock = socket.socket(family, kind, protocol)
        try:
            # Small requests leave at once and do not wait for an acknowledgement.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(_connect_seconds(state.deadline.remaining_seconds(), len(permitted) - number))
            sock.connect(address)
        except OSError as error:
            sock.close()
            if is_missing_address(error, family):
                error = OSError("no address of this family")
            # An address that the system itself did not answer says more than one that was not tried properly.
            if problem is nothing_tried or not is_resource_shortage(error):
                problem = error
        else:
            return sock
    raise problem
