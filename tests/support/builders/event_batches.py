"""Requests with several events, to a source that is verified by a token and has a webhook format."""

import json
from dataclasses import replace
from typing import Any

from django.http import HttpResponse
from django.test import Client

from tests.support.hub import Hub
from webhooks.models import Event, Source, SourceSecret
from webhooks.receiving.source_cache import find_source

FORMAT: dict[str, Any] = {
    "events": "body.events",
    "when": "event.ok",
    "id": "event.user",
    "entity_type": {"constant": "USER"},
    "event_type": "event.kind",
    "event_types": {"changed": "UPDATE"},
    "event_id": "event.uid",
    "content_types": ["application/events+json"],
    "drop": ["events[].password"],
}


TOKEN = "a-token-of-thirty-two-characters"


def add_token() -> None:
    """Verify the requests of the unsigned source by a token: without it the ids of its events would count for nothing."""
    source = Source.objects.get(slug="aurora-unsigned")
    source.scheme = "bearer"
    source.save()
    SourceSecret.objects.create(source=source, value=TOKEN, hint=TOKEN[-4:])
    find_source.invalidate()


def set_format(webhook_format: dict[str, Any], slug: str = "aurora-unsigned") -> None:
    """Give a source a webhook format."""
    Source.objects.filter(slug=slug).update(webhook_format=webhook_format)
    find_source.invalidate()


def event(user: str, **changed: Any) -> dict[str, Any]:
    """Return an event of the format."""
    return {"user": user, "kind": "changed", "ok": True} | changed


def body_of(*events: Any) -> bytes:
    return json.dumps({"events": list(events)}).encode()


def post(hub: Hub, *events: Any, content_type: str = "application/events+json") -> HttpResponse:
    """Post a request with these events."""
    return post_body(hub, body_of(*events), content_type)


def post_body(hub: Hub, body: bytes, content_type: str = "application/events+json") -> HttpResponse:
    """Post these bytes."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return hub.client.post("/webhooks/aurora-unsigned", body, content_type=content_type, headers=headers)


def in_thread(hub: Hub) -> Hub:
    """Return the hub with a client of its own, for a thread."""
    return replace(hub, client=Client(raise_request_exception=False))


def documents() -> list[dict[str, Any]]:
    """Return what is stored of each event, decrypted."""
    rows = Event.objects.order_by("pk").select_related("payload__subject")
    return [json.loads(row.payload.decrypt()) for row in rows if row.payload is not None]
