"""Requests of each known sender, captured and sent again to routes that use their data: nothing old comes back."""

import copy
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.http import HttpResponse

from sync.deliveries.routes import resolved_routes
from sync.models import Delivery, MappingVersion, Route
from tests.support.hub import Hub
from tests.support.rows import in_submission
from tests.webhooks.presets.vendor_signatures import SIGN_TIME, SIGNERS, UNSIGNED, secret_of, write_body
from webhooks.models import Event, Source, SourceSecret
from webhooks.presets.source_presets import SOURCE_PRESETS
from webhooks.receiving.source_cache import find_source

pytestmark = [pytest.mark.presets, pytest.mark.one_database, pytest.mark.concurrent]

REPLAYS = 6
Place = tuple[str | int, ...]
# Where a sender writes the word for the event, the time, and the id of the event.
PLACES: dict[str, tuple[Place, Place, Place]] = {
    "auth0-event-streams": (("type",), ("time",), ("id",)),
    "authentik": (("action",), ("created",), ("pk",)),
    "clerk": (("type",), ("timestamp",), ()),
    "cloudevents": (("type",), ("time",), ("id",)),
    "directus-flows": (("event",), (), ()),
    "entra-id": (("value", 0, "changeType"), (), ("value", 0, "id")),
    "fusionauth": (("event", "type"), ("event", "createInstant"), ("event", "id")),
    "google-directory": ((), (), ()),
    "keycloak": (("type",), ("time",), ("uid",)),
    "logto": (("event",), ("createdAt",), ()),
    "okta-event-hooks": (
        ("data", "events", 0, "eventType"),
        ("data", "events", 0, "published"),
        ("data", "events", 0, "uuid"),
    ),
    "ory-kratos": (("eventType",), ("timestamp",), ()),
    "sandbox": (("eventType",), ("timestamp",), ()),
    "trivore": (("eventType",), ("timestamp",), ()),
    "workos": (("event",), ("created_at",), ("id",)),
    "zitadel-actions": (("event_type",), ("created_at",), ("sequence",)),
}
# Their requests carry no data of a user, so that a route which wants it refuses their updates for good.
THIN = ("authentik", "keycloak", "okta-event-hooks", "sandbox", "zitadel-actions")
# They say neither when an event occurred nor sign a time: no route may use their data.
TIMELESS = ("directus-flows", "entra-id", "google-directory")
STARTED = datetime(2026, 1, 1, tzinfo=UTC)
FIELDS = {
    "external_id": {"path": "webhook.id"},
    "email": {"path": "join('', [md5(webhook.id), '@example.com'])"},
    "first_name": {"path": "webhook.timestamp"},
    "last_name": {"path": "'Aalto'"},
}


class Sender:
    """A sender with a preset, whose events are of one user."""

    def __init__(self, hub: Hub, name: str) -> None:
        self.hub, self.name, self.number = hub, name, 0
        self.sample = SOURCE_PRESETS[name].samples[0]
        self.settings = SOURCE_PRESETS[name].copy_settings()
        Source.objects.filter(slug="aurora").update(**self.settings | {"default_mode": "result"})
        self.source = Source.objects.get(slug="aurora")
        self.source.secrets.all().delete()
        if name not in UNSIGNED:
            SourceSecret.objects.create(source=self.source, value=secret_of(name), hint="test")
        find_source.invalidate()

    def capture(self, event_type: str) -> tuple[bytes, dict[str, str]]:
        """Make the next request, one second later than the one before."""
        self.number += 1
        document = copy.deepcopy(self.sample.body)
        words = self.settings.get("webhook_format", {}).get("event_types", {})
        word = next((word for word, meaning in words.items() if meaning == event_type), event_type)
        for place, value in zip(
            PLACES[self.name], (word, self._time(document), self._event_id()), strict=True
        ):
            if place:
                _holder(document, place)[place[-1]] = value
        body = write_body(self.name, document, secret_of(self.name))
        sample = self.sample
        ids = {name: f"msg_{self.number}" for name in ("svix-id", "webhook-id") if name in sample.headers}
        sample = replace(sample, headers={**sample.headers, **ids})
        signed = (
            {}
            if self.name in UNSIGNED
            else SIGNERS[self.name](sample, body, secret_of(self.name), time.time())
        )
        return body, {**sample.headers, **signed}

    def _event_id(self) -> Any:
        return self.number if self.name == "zitadel-actions" else f"event-{self.number}"

    def _time(self, document: Any) -> Any:
        at = STARTED + timedelta(seconds=self.number)
        place = PLACES[self.name][1]
        is_number = place and isinstance(_holder(document, place).get(place[-1]), int)
        return int(at.timestamp() * 1000) if is_number else at.isoformat()

    def send(self, request: tuple[bytes, dict[str, str]]) -> HttpResponse:
        body, headers = request
        return self.hub.client.post(
            "/webhooks/aurora", body, content_type=self.sample.content_type, headers=headers
        )

    def state(self) -> tuple[Any, int]:
        """Return the user's record and the number of writes to the shop."""
        return self.hub.customer(self.sample.events[0].entity_id), len(self.hub.writes())


def _holder(document: Any, place: Place) -> Any:
    for step in place[:-1]:
        document = document[step]
    return document


@pytest.fixture
def relay(hub: Hub) -> Hub:
    """Return a hub whose routes of people use the data of verified sources, and delete records."""
    routes = Route.objects.filter(source__slug="aurora", entity_type="USER")
    routes.update(relays=True, when_deleted="delete", max_changed_percent=None)
    mapping = routes.get().mapping
    declaration = {"fields": FIELDS, "match": {"external_id": "external_id"}}
    version = MappingVersion(mapping=mapping, number=2, declaration=declaration)
    version.full_clean()
    version.save()
    resolved_routes.invalidate()
    return hub


@pytest.mark.promise("I34")
@pytest.mark.parametrize("name", in_submission(SOURCE_PRESETS, but=("ory-kratos",)))
def test_a_captured_request_brings_no_old_data_back_and_deletes_nothing_again(relay: Hub, name: str) -> None:
    sender = Sender(relay, name)
    captured = []
    for event_type in ("UPDATE", "UPDATE", "DELETE", "CREATE"):
        captured.append(sender.capture(event_type))
        sender.send(captured[-1])
    assert Delivery.objects.filter(is_relayed=True).exists() is (name not in (*TIMELESS, *UNSIGNED))
    if name in UNSIGNED:
        return
    carries_data = name not in (*THIN, *TIMELESS)
    before = sender.state()
    assert (before[1] == 4) is carries_data, before
    for request in captured * REPLAYS:
        sender.send(request)
    assert sender.state() == before
    if carries_data:
        assert before[0]["first_name"].startswith("2026-01-01T00:00:04")
        assert Event.objects.count() == 4
    assert Event.objects.filter(entity_type="USER").exists() is (name not in TIMELESS)


@pytest.mark.parametrize("name", SOURCE_PRESETS)
def test_a_route_may_use_the_data_of_a_sender_that_signs_a_time_or_gives_one(hub: Hub, name: str) -> None:
    """Directus gives none. That Microsoft and Google leave it out shows only in their requests."""
    route = Route.objects.get(source__slug="aurora", entity_type="USER")
    route.source, route.relays = Sender(hub, name).source, True
    if name in (*UNSIGNED, "directus-flows"):
        with pytest.raises(ValidationError):
            route.full_clean()
    else:
        route.full_clean()
    assert name not in SIGN_TIME or route.source.may_be_relayed
