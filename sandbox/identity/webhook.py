"""The webhook as a value: what is said, to whom, and what came back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.base.clock import utc_now
from sandbox.http.messages import Problem

_OPTIONAL = ("respond", "previous", "data")


@dataclass(frozen=True, slots=True)
class Webhook:
    """``timestamp`` None: the moment of sending.

    ``optional`` holds respond, previous and data where they are sent.
    """

    entity_type: str
    id: str
    event_type: str
    timestamp: str | None = None
    optional: Mapping[str, object] = field(default_factory=dict)
    webhook_id: str | None = None

    def body(self) -> bytes:
        """The bytes, members in the order of the hub's contract, without white space."""
        content: dict[str, object] = {
            "id": self.id,
            "entityType": self.entity_type,
            "eventType": self.event_type,
            "timestamp": self.timestamp or utc_now("seconds"),
        }
        content |= {name: self.optional[name] for name in _OPTIONAL if name in self.optional}
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Delivered:
    """One webhook sent and what came of it. ``status`` None: no answer, and ``error`` says why."""

    number: int
    at: str
    entity_id: str
    url: str
    request_headers: Mapping[str, str]
    request_body: str
    seconds: float
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    error: str | None = None

    @property
    def json(self) -> Any:
        """The answer's body parsed, or None where it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def as_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "at": self.at,
            "request": {"url": self.url, "headers": dict(self.request_headers), "body": self.request_body},
            "status": self.status,
            "headers": dict(self.headers),
            "body": self.body,
            "json": self.json,
            "error": self.error,
            "seconds": round(self.seconds, 3),
        }


def parse_webhook(body: Mapping[str, Any]) -> Webhook:
    """The webhook that ``POST /api/notify`` asks for.

    Raises Problem (400) where a member is missing or of the wrong type.
    """
    for name in ("entityType", "id", "eventType"):
        if not isinstance(body.get(name), str):
            raise Problem(400, f"{name} must be a text.")
    for name in ("timestamp", "webhookId"):
        if not isinstance(body.get(name), str | None):
            raise Problem(400, f"{name} must be a text.")
    optional = {name: body[name] for name in _OPTIONAL if name in body}
    return Webhook(
        body["entityType"],
        body["id"],
        body["eventType"],
        body.get("timestamp"),
        optional,
        body.get("webhookId"),
    )
