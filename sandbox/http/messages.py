"""One HTTP request and its answer, as values."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from threading import Event
from urllib.parse import parse_qsl

JSON = "application/json"
HTML = "text/html; charset=utf-8"
READING = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Request:
    """A complete request: nothing of it is still on the wire. ``path`` is as sent (percent-encoded)."""

    method: str
    path: str
    query_text: str
    headers: Message
    body: bytes

    @property
    def query(self) -> dict[str, str]:
        """The query's members; of a repeated name the last."""
        return dict(parse_qsl(self.query_text, keep_blank_values=True))

    @property
    def is_write(self) -> bool:
        return self.method not in READING

    def header(self, name: str) -> str:
        """The header's value, or an empty string. Names are compared without case."""
        return str(self.headers.get(name, ""))

    def form(self) -> dict[str, str]:
        """The members of an ``application/x-www-form-urlencoded`` body, trimmed; of a repeated name the
        last.
        """
        text = self.body.decode("utf-8", "replace")
        return {name: value.strip() for name, value in parse_qsl(text, keep_blank_values=True)}

    def json(self) -> object:
        """The parsed body.

        Raises Problem (400) where it is not JSON in UTF-8 that can be written as such again.
        """
        try:
            content: object = json.loads(self.body, parse_constant=_refuse_constant)
            if b"\\u" in self.body:
                json.dumps(content, ensure_ascii=False).encode()  # fails for a lone surrogate
        except (ValueError, RecursionError):
            raise Problem(400, "The body is not JSON.") from None
        return content

    def json_object(self) -> dict[str, object]:
        """The parsed body, an object.

        Raises Problem (400) where it is anything else.
        """
        body = self.json()
        if not isinstance(body, dict):
            raise Problem(400, "The body must be a JSON object.")
        return body


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back.

    With ``drip`` above 0 the body leaves one byte every ``drip`` seconds until ``released``.
    """

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    drip: float = 0.0
    released: Event | None = None

    @classmethod
    def of_json(cls, status: int, content: object, headers: Mapping[str, str] | None = None) -> "Answer":
        body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        return cls(status, body, headers=headers or {})


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def see_other(location: str) -> Answer:
    """Post, redirect, get: a reload of the page that follows sends nothing again."""
    return Answer(303, headers={"Location": location}, content_type="text/plain; charset=utf-8")


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one member of a body."""

    field: str
    code: str
    message: str


class Problem(Exception):
    """Ends a request with a status and a sentence; each service has its own JSON shape for it."""

    def __init__(
        self,
        status: int,
        sentence: str,
        errors: tuple[FieldError, ...] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.errors = errors
        self.headers = headers or {}
