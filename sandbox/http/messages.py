"""HTTP requests, responses and errors as values."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from threading import Event
from urllib.parse import parse_qsl

JSON = "application/json"
HTML = "text/html; charset=utf-8"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was received completely. ``path`` is percent-encoded, as it was sent."""

    method: str
    path: str
    query_string: str
    headers: Message
    body: bytes

    @property
    def query(self) -> dict[str, str]:
        """The query parameters; the last value of a repeated name."""
        return dict(parse_qsl(self.query_string, keep_blank_values=True))

    @property
    def is_write(self) -> bool:
        """True unless the method is a safe one (GET, HEAD or OPTIONS)."""
        return self.method not in SAFE_METHODS

    def get_header(self, name: str) -> str:
        """Return the value of a header, or an empty string. Names are compared without case."""
        return str(self.headers.get(name, ""))

    def parse_form(self) -> dict[str, str]:
        """Return the fields of an ``application/x-www-form-urlencoded`` body, trimmed.

        Of a repeated name only the last value is returned.
        """
        text = self.body.decode("utf-8", "replace")
        return {name: value.strip() for name, value in parse_qsl(text, keep_blank_values=True)}

    def parse_json(self) -> object:
        """Return the parsed body.

        Raises HttpError (400) if the body is not JSON in UTF-8 or cannot be encoded in UTF-8 again.
        """
        try:
            content: object = json.loads(self.body, parse_constant=_reject_constant)
            if b"\\u" in self.body:
                json.dumps(content, ensure_ascii=False).encode()  # fails for a lone surrogate
        except (ValueError, RecursionError):
            raise HttpError(400, "The body is not JSON.") from None
        return content

    def parse_json_object(self) -> dict[str, object]:
        """Return the parsed body, which must be an object.

        Raises HttpError (400) if it is anything else.
        """
        body = self.parse_json()
        if not isinstance(body, dict):
            raise HttpError(400, "The body must be a JSON object.")
        return body


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response.

    If ``drip_seconds`` is above 0, one byte of the body is sent every ``drip_seconds`` until ``drip_ended`` is set.
    """

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    drip_seconds: float = 0.0
    drip_ended: Event | None = None

    @classmethod
    def from_json(cls, status: int, content: object, headers: Mapping[str, str] | None = None) -> "Response":
        """Return a response with ``content`` as JSON."""
        body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        return cls(status, body, headers=headers or {})


def _reject_constant(name: str) -> None:
    """Raise ValueError for NaN and Infinity, which Python parses although they are not JSON."""
    raise ValueError(f"{name} is not JSON")


def redirect_after_post(location: str) -> Response:
    """Return a redirect (303) to a page that can be reloaded without sending the form again."""
    return Response(303, headers={"Location": location}, content_type="text/plain; charset=utf-8")


@dataclass(frozen=True, slots=True)
class FieldError:
    """An error in one field of a body."""

    field: str
    code: str
    message: str


class HttpError(Exception):
    """An error that ends a request with a status and a message. Each service has its own JSON format for it."""

    def __init__(
        self,
        status: int,
        message: str,
        field_errors: tuple[FieldError, ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.field_errors = field_errors
        self.headers = headers or {}
