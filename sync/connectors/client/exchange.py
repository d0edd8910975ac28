"""One outgoing request, and what is recorded of it before and after it."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Literal, NamedTuple, Protocol

from sync.connectors.contracts import errors
from sync.connectors.http.messages import Answer

Purpose = Literal["fetch", "list", "get", "search", "create", "update", "delete", "token"]

MASK = "***"
KEPT_HEADERS = frozenset(
    {"content-type", "retry-after", "date", "x-request-id", "idempotent-replayed", "etag", "location"}
)


class Outgoing(NamedTuple):
    """A request that is about to leave.

    `path` is the template, without values. `url` and `body` hold personal data and belong into sealed
    storage. Secrets stand as `***` in `headers`, and in the whole body of a token request.
    """

    purpose: Purpose
    method: str
    url: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None
    key: str | None
    write: bool


class Exchange(NamedTuple):
    """What became of it. `error` is a code; without a `status` there was no whole answer.

    `sent_bytes` counts the request's line, headers and body as built; `received_bytes` everything that
    was read from the connection, headers and chunk framing included.
    """

    outgoing: Outgoing
    status: int | None
    headers: Mapping[str, str]
    body: bytes
    started_at: datetime
    seconds: float
    sent_bytes: int
    received_bytes: int
    error: str | None


class Recorder(Protocol):
    """Sees every request, reads and token requests included."""

    def about_to_send(self, request: Outgoing) -> None:
        """Called before the connection is used. What it raises stops the request and passes through."""

    def answered(self, exchange: Exchange) -> None:
        """Called once for each `about_to_send` that returned, on failure as well."""


def kept(headers: Mapping[str, str]) -> dict[str, str]:
    """The few answer headers that help support and cannot hold a secret."""
    return {name: value[:1000] for name, value in headers.items() if name in KEPT_HEADERS}


class Call(NamedTuple):
    """One request, ready but for its secret headers."""

    purpose: Purpose
    method: str
    url: str
    template: str
    origin: str
    is_caged: Callable[[str], bool]
    headers: Mapping[str, str]
    body: bytes | None
    key: str | None
    write: bool

    def __repr__(self) -> str:
        return f"<Call {self.label}>"

    @property
    def label(self) -> str:
        """The request without anything secret or personal."""
        return f"{self.method} {self.template}"

    def error_for(self, status: int) -> type[errors.ConnectorError] | None:
        """The error that a status means here: a token endpoint that refuses refuses our credentials."""
        kind = errors.error_for_status(status)
        return errors.CredentialsRefused if kind is errors.Rejected and self.purpose == "token" else kind


class Sender(NamedTuple):
    """Sends a call with its secret headers, within so many seconds; the answer may have any status.

    Raises errors.ConnectorError.
    """

    send: Callable[[Call, Mapping[str, str]], Answer]
    seconds: float


class Stopwatch:
    """Starts with the sending and makes the record of what became of it."""

    def __init__(self, outgoing: Outgoing, call: Call, headers: Mapping[str, str]) -> None:
        self._outgoing = outgoing
        self._call = call
        self._headers = headers
        self._started_at = datetime.now(UTC)
        self._started = time.monotonic()

    def answered(self, answer: Answer, error: str | None) -> Exchange:
        """The record of an answer, whatever its status."""
        # A token answer is all secret.
        body = MASK.encode() if self._outgoing.purpose == "token" else answer.body
        return self._exchange(answer.status, kept(answer.headers), body, answer.received, error)

    def failed(self, error: str, received: int) -> Exchange:
        """The record of an exchange without a whole answer."""
        return self._exchange(None, {}, b"", received, error)

    def _exchange(
        self, status: int | None, headers: Mapping[str, str], body: bytes, received: int, error: str | None
    ) -> Exchange:
        return Exchange(
            outgoing=self._outgoing,
            status=status,
            headers=headers,
            body=body,
            started_at=self._started_at,
            seconds=time.monotonic() - self._started,
            sent_bytes=size_of(self._call, self._headers),
            received_bytes=received,
            error=error,
        )


def merged(headers: Mapping[str, str], over: Mapping[str, str]) -> dict[str, str]:
    """The headers with those `over` them, whatever the case of their names."""
    names = [name.lower() for name in over]
    return {name: value for name, value in headers.items() if name.lower() not in names} | dict(over)


def outgoing(call: Call, headers: Mapping[str, str], secret_headers: Mapping[str, str]) -> Outgoing:
    """What is put on record before the call is sent: all of it but its secrets, which `headers` has under the
    same names."""
    masked = MASK.encode() if call.purpose == "token" else call.body
    shown = {**headers, **dict.fromkeys(secret_headers, MASK)}
    return Outgoing(call.purpose, call.method, call.url, call.template, shown, masked, call.key, call.write)


def size_of(call: Call, headers: Mapping[str, str]) -> int:
    """Bytes of the request line, the headers with Host, and the body."""
    target = call.url[len(call.origin) :]
    lines = sum(len(name) + len(value) + 4 for name, value in headers.items())
    host = len("Host: \r\n") + len(call.origin.partition("://")[2])
    return len(call.method) + len(target) + 12 + host + lines + 2 + len(call.body or b"")
