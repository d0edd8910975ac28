"""Outgoing requests, and the records of them before and after they are sent."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Literal, NamedTuple, Protocol

from sync.connectors.contracts import errors
from sync.connectors.http.message_types import HttpResponse

Purpose = Literal["fetch", "list", "get", "search", "create", "update", "delete", "token"]

MASK = "***"
SAFE_HEADERS = frozenset(
    {"content-type", "retry-after", "date", "x-request-id", "idempotent-replayed", "etag", "location"}
)


class OutgoingRequest(NamedTuple):
    """A request that is about to be sent, with its secrets masked.

    `path_template` holds no values. `url` and `body` hold personal data and belong in encrypted storage.
    Secrets are replaced by `***` in `headers`, and so is the whole body of a token request.
    """

    purpose: Purpose
    method: str
    url: str
    path_template: str
    headers: Mapping[str, str]
    body: bytes | None
    idempotency_key: str | None
    is_write: bool


class RecordedExchange(NamedTuple):
    """A finished exchange. `error_code` is a code of the catalogue; `status` is None if no complete response
    arrived.

    `sent_bytes` counts the request line, headers and body; `received_bytes` counts all bytes read from the
    connection, headers and chunk framing included.
    """

    request: OutgoingRequest
    status: int | None
    headers: Mapping[str, str]
    body: bytes
    started_at: datetime
    seconds: float
    sent_bytes: int
    received_bytes: int
    error_code: str | None


class Recorder(Protocol):
    """Receives every request of a client, reads and token requests included."""

    def record_request(self, request: OutgoingRequest) -> None:
        """Record a request before it is sent. An exception stops the request and reaches the caller."""

    def record_exchange(self, exchange: RecordedExchange) -> None:
        """Record the result, once for each `record_request` that returned, failures included."""


def keep_safe_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the response headers that help support and cannot hold a secret, cut to 1,000 characters each."""
    return {name: value[:1000] for name, value in headers.items() if name in SAFE_HEADERS}


class PreparedRequest(NamedTuple):
    """A request that lacks only its secret headers."""

    purpose: Purpose
    method: str
    url: str
    path_template: str
    origin: str
    is_allowed_url: Callable[[str], bool]
    headers: Mapping[str, str]
    body: bytes | None
    idempotency_key: str | None
    is_write: bool

    def __repr__(self) -> str:
        return f"<Call {self.label}>"

    @property
    def label(self) -> str:
        """Return method and path template, which hold nothing secret or personal."""
        return f"{self.method} {self.path_template}"

    def error_for(self, status: int) -> type[errors.ConnectorError] | None:
        """Return the error for a status, None for success. A 4xx of a token endpoint means refused
        credentials.
        """
        kind = errors.error_for_status(status)
        return (
            errors.CredentialsRefused if kind is errors.RequestRejected and self.purpose == "token" else kind
        )


class TokenSender(NamedTuple):
    """Sends a token request with its secret headers. `send` returns a response of any status within
    `timeout_seconds`.

    Raises errors.ConnectorError.
    """

    send: Callable[[PreparedRequest, Mapping[str, str]], HttpResponse]
    timeout_seconds: float


class ExchangeTimer:
    """Times one exchange, from construction on, and builds its record."""

    def __init__(self, outgoing: OutgoingRequest, call: PreparedRequest, headers: Mapping[str, str]) -> None:
        self._outgoing = outgoing
        self._call = call
        self._headers = headers
        self._started_at = datetime.now(UTC)
        self._started = time.monotonic()

    def record_response(self, answer: HttpResponse, error: str | None) -> RecordedExchange:
        """Return the record of a response with any status."""
        # The whole response to a token request is secret.
        body = MASK.encode() if self._outgoing.purpose == "token" else answer.body
        return self._exchange(
            answer.status, keep_safe_headers(answer.headers), body, answer.bytes_received, error
        )

    def record_failure(self, error: str, received: int) -> RecordedExchange:
        """Return the record of an exchange without a complete response."""
        return self._exchange(None, {}, b"", received, error)

    def _exchange(
        self, status: int | None, headers: Mapping[str, str], body: bytes, received: int, error: str | None
    ) -> RecordedExchange:
        return RecordedExchange(
            request=self._outgoing,
            status=status,
            headers=headers,
            body=body,
            started_at=self._started_at,
            seconds=time.monotonic() - self._started,
            sent_bytes=request_size(self._call, self._headers),
            received_bytes=received,
            error_code=error,
        )


def merge_headers(headers: Mapping[str, str], overrides: Mapping[str, str]) -> dict[str, str]:
    """Merge two sets of headers; `overrides` wins, whatever the case of the names."""
    names = [name.lower() for name in overrides]
    return {name: value for name, value in headers.items() if name.lower() not in names} | dict(overrides)


def mask_secrets(
    call: PreparedRequest, headers: Mapping[str, str], secret_headers: Mapping[str, str]
) -> OutgoingRequest:
    """Return the request to record: the secret headers masked, and the body too if it requests a token."""
    masked = MASK.encode() if call.purpose == "token" else call.body
    masked_headers = {**headers, **dict.fromkeys(secret_headers, MASK)}
    return OutgoingRequest(
        call.purpose,
        call.method,
        call.url,
        call.path_template,
        masked_headers,
        masked,
        call.idempotency_key,
        call.is_write,
    )


def request_size(call: PreparedRequest, headers: Mapping[str, str]) -> int:
    """Count the bytes of the request line, the headers including Host, and the body."""
    target = call.url[len(call.origin) :]
    # Four more bytes for each header: a colon, a space and the line end.
    lines = sum(len(name) + len(value) + 4 for name, value in headers.items())
    host = len("Host: \r\n") + len(call.origin.partition("://")[2])
    # Twelve bytes: a space before the target, and the version with its line end after it.
    return len(call.method) + len(target) + 12 + host + lines + 2 + len(call.body or b"")
