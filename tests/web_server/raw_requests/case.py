"""One raw request and its expected answer."""

from collections.abc import Iterable
from dataclasses import dataclass

from tests.support.http.machine_answers import CANARY

PATH = "/webhooks/aurora-unsigned"
# Nothing is set up for devices: it is stored, and no other system is asked.
WEBHOOK = b'{"id":"RAW1","entityType":"DEVICE","eventType":"UPDATE"}'
REFUSED = frozenset({400})
STORED = frozenset({200})
MARK = CANARY.encode()


@dataclass(frozen=True)
class Case:
    """Bytes to send. `statuses`: of which the answer must have one; none if the connection ends without an answer.

    `stores`: how many events it adds. `ends`: the client sends no more (a half-closed connection).
    """

    kind: str
    name: str
    data: bytes
    statuses: frozenset[int] = REFUSED
    stores: int = 0
    ends: bool = False

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}"


def webhook(
    *headers: str | bytes,
    body: bytes = WEBHOOK,
    line: bytes = f"POST {PATH} HTTP/1.1".encode(),
    host: bytes | None = b"localhost",
    length: bool = True,
) -> bytes:
    """Return the bytes of a webhook with more headers. `length` adds the right Content-Length."""
    fixed = [] if host is None else [b"Host: " + host]
    fixed += [b"Content-Type: application/json", b"Connection: close"]
    fixed += [f"Content-Length: {len(body)}".encode()] if length else []
    given = [header.encode("latin-1") if isinstance(header, str) else header for header in headers]
    return b"\r\n".join([line, *fixed, *given, b"", b""]) + body


def named(values: Iterable[bytes | str]) -> Iterable[tuple[str, bytes]]:
    """Yield each value with a short name for the test's id."""
    for value in values:
        data = value.encode("latin-1") if isinstance(value, str) else value
        yield repr(data if len(data) <= 40 else data[:30] + b"...%d" % len(data))[2:-1], data
