"""Webhooks as values: before they are sent, and with the hub's response."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.base.clock import utc_now
from sandbox.faults.alterations import to_numeric_id
from sandbox.http.messages import HttpError

_OPTIONAL_FIELDS = ("respond", "previous", "data")


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook that is not sent yet.

    If ``timestamp`` is None, the time of sending is used. ``optional_fields`` holds respond, previous and data, each
    only if it is sent.
    """

    entity_type: str
    id: str
    event_type: str
    timestamp: str | None = None
    optional_fields: Mapping[str, object] = field(default_factory=dict)
    webhook_id: str | None = None

    def encode_body(self, has_numeric_ids: bool = False) -> bytes:
        """Return the body as compact JSON, with the fields in the order of the hub's contract.

        If ``has_numeric_ids``, an id of digits is a number.
        """
        content: dict[str, object] = {
            "id": to_numeric_id(self.id) if has_numeric_ids else self.id,
            "entityType": self.entity_type,
            "eventType": self.event_type,
            "timestamp": self.timestamp or utc_now("seconds"),
        }
        content |= {
            name: self.optional_fields[name] for name in _OPTIONAL_FIELDS if name in self.optional_fields
        }
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class SentWebhook:
    """A webhook that was sent, with the response. Without a response ``status`` is None and ``error`` says why."""

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
        """The parsed body of the response; None if it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def as_json(self) -> dict[str, Any]:
        """Return the webhook and its response as the control API shows them."""
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
    """Return the webhook that the body of ``POST /api/notify`` describes.

    Raises HttpError (400) if a field is missing or of the wrong type.
    """
    for name in ("entityType", "id", "eventType"):
        if not isinstance(body.get(name), str):
            raise HttpError(400, f"{name} must be a text.")
    for name in ("timestamp", "webhookId"):
        if not isinstance(body.get(name), str | None):
            raise HttpError(400, f"{name} must be a text.")
    optional = {name: body[name] for name in _OPTIONAL_FIELDS if name in body}
    return Webhook(
        body["entityType"],
        body["id"],
        body["eventType"],
        body.get("timestamp"),
        optional,
        body.get("webhookId"),
    )
