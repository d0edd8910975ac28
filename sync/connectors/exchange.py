"""What is put on record about one outgoing request, before and after it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

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
