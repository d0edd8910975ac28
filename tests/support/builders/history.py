"""Functions that create events, deliveries, attempts and other rows; a test overrides the values it is about."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from sync.models import Attempt, Call, Connection, Delivery, Mapping, MappingVersion, PersonRequest, Route
from tests.support.people import add_person
from webhooks.models import Event, Payload, Receipt, Source

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
LONG_AGO = NOON - timedelta(days=3_650)


def logged_in(*roles: str) -> Client:
    """Return the client of a new staff member of these groups who is logged in."""
    client = Client()
    client.force_login(add_person(User(username=f"someone-{uuid4().hex[:8]}", is_staff=True), *roles))
    return client


def a_source(slug: str = "aurora", **values: Any) -> Source:
    source = Source.objects.filter(slug=slug).first()
    return source or Source.objects.create(**{"slug": slug, "name": slug.title(), "scheme": "none"} | values)


def an_event(number: int = 0, **values: Any) -> Event:
    """Create event `number` of Aurora, received `number` seconds before NOON."""
    defaults = {
        "entity_type": "USER",
        "entity_id": f"USR-{number}",
        "event_type": "UPDATE",
        "is_signed": True,
        "digest": b"\7" * 32,
        "received_at": NOON - timedelta(seconds=number),
        "state": "succeeded",
        "code": "succeeded",
    }
    source = values.pop("source", None) or a_source()
    return Event.objects.create(source=source, **defaults | values)


def a_route(source: Source, **values: Any) -> Route:
    """Create a route for users from a source to the shop."""
    ends = {
        side: Connection.objects.get_or_create(
            slug=slug,
            defaults={"name": name, "side": side, "connector": f"rest-{side}", "base_url": "https://x.test"},
        )[0]
        for side, slug, name in (("identity", "aurora-id", "Aurora ID"), ("target", "shop", "The shop"))
    }
    mapping, _ = Mapping.objects.get_or_create(name="Person to customer")
    MappingVersion.objects.get_or_create(mapping=mapping, number=1, defaults={"declaration": {}})
    route = Route.objects.create(
        **{"source": source, "entity_type": "USER", "mapping": mapping} | ends | values
    )
    # Settings that were never changed: a failure is not older than they are.
    MappingVersion.objects.filter(mapping=mapping).update(created_at=LONG_AGO)
    for setting in (route, *ends.values()):
        type(setting).objects.filter(pk=setting.pk).update(updated_at=LONG_AGO)
    return route


def a_delivery(event: Event, route: Route, **values: Any) -> Delivery:
    defaults = {
        "state": event.state,
        "code": event.code,
        "entity_type": event.entity_type,
        "entity_id": event.entity_id,
        "opened_at": timezone.now(),
    }
    return Delivery.objects.create(
        event=event, route=route, identity=route.identity, target=route.target, **defaults | values
    )


def an_attempt(delivery: Delivery, number: int, **values: Any) -> Attempt:
    at = NOON + timedelta(minutes=number)
    defaults = {
        "cause": "webhook" if number == 1 else "retry",
        "started_at": at,
        "ended_at": at + timedelta(milliseconds=250),
        "outcome": "failed",
        "code": "target-unavailable",
        "mapping_version": delivery.route.mapping.current_version(),
    }
    return Attempt.objects.create(delivery=delivery, number=number, **defaults | values)


def a_call(attempt: Attempt, **values: Any) -> Call:
    defaults = {
        "connection": attempt.delivery.target,
        "purpose": "update",
        "is_write": True,
        "method": "PATCH",
        "path": "/customers/{id}",
        "started_at": attempt.started_at,
        "seconds": 0.123,
        "status": 503,
        "response_part": 0,
    }
    if "request" not in values:
        request = {"url": "https://x.test/customers/1", "headers": {"A": "b"}, "body": '{"email":1}'}
        defaults["request"] = sealed("request", request)
    if "response" not in values:
        defaults["response"] = sealed("response", [{"headers": {}, "body": "busy"}])
    return Call.objects.create(attempt=attempt, **defaults | values)


def a_receipt(event: Event | None, **values: Any) -> Receipt:
    defaults = {
        "source": event.source if event else a_source(),
        "verified_by": "none",
        "size": 10,
        "received_at": NOON,
        "status": 200,
        "code": "succeeded",
        "answer": sealed("answer", {"status": "succeeded"}),
    }
    return Receipt.objects.create(event=event, **defaults | values)


def a_replay(by: User, **values: Any) -> PersonRequest:
    return PersonRequest.objects.create(
        **{"requested_by": by, "reason": "the shop was down", "created_at": NOON} | values
    )


def sealed(kind: str, document: Any) -> Payload:
    """Store a payload: bytes unchanged, anything else as JSON."""
    payload = Payload.new(
        kind, document if isinstance(document, bytes) else json.dumps(document).encode(), None
    )
    payload.save()
    return payload


def sealed_findings(**parts: Any) -> Payload:
    """Store what an attempt found: `entity`, `change` and `answer`, as far as they are given."""
    return sealed("findings", parts)
