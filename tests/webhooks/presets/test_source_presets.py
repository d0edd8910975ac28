"""The recorded requests of each preset over HTTP: verified, read as the expected events, and refused when tampered."""

import copy
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client

from tests.webhooks.presets.vendor_signatures import (
    SECRET_IN_BODY,
    SIGN_BODY,
    SIGN_TIME,
    SIGNERS,
    UNSIGNED,
    other_secret_of,
    secret_of,
    write_body,
)
from webhooks.models import Event, Payload, Receipt, Source, SourceSecret
from webhooks.presets.source_presets import SOURCE_PRESETS, ExpectedEvent, RecordedRequest
from webhooks.protocol.formats.webhook_format import DEFAULT_MAX_BODY_BYTES

pytestmark = [pytest.mark.presets, pytest.mark.one_database]

CLIENT = Client(raise_request_exception=False)
ADDRESS = "/webhooks/sender"
SAMPLES = [(name, index) for name, preset in SOURCE_PRESETS.items() for index in range(len(preset.samples))]
# What a sample holds that must not be stored.
PASSWORD = "pw-in-clear-1"
# Where the id of the subject and the word of the event are in the first sample.
SUBJECTS: dict[str, list[tuple[str | int, ...]]] = {
    "auth0-event-streams": [("data", "object", "user_id")],
    "authentik": [("model", "pk")],
    "clerk": [("data", "id")],
    "cloudevents": [("subject",)],
    "directus-flows": [("key",)],
    "entra-id": [("value", 0, "resourceData", "id")],
    "fusionauth": [("event", "user", "id")],
    "google-directory": [("id",)],
    "keycloak": [("resourceId",)],
    "logto": [("data", "id"), ("params", "userId")],
    "okta-event-hooks": [("data", "events", 0, "target", 0, "id")],
    "ory-kratos": [("id",)],
    "sandbox": [("id",)],
    "trivore": [("id",)],
    "workos": [("data", "id")],
    "zitadel-actions": [("aggregateID",)],
}
WORDS: dict[str, tuple[str | int, ...]] = {
    "auth0-event-streams": ("type",),
    "authentik": ("action",),
    "clerk": ("type",),
    "cloudevents": ("type",),
    "directus-flows": ("event",),
    "entra-id": ("value", 0, "changeType"),
    "fusionauth": ("event", "type"),
    "keycloak": ("type",),
    "logto": ("event",),
    "okta-event-hooks": ("data", "events", 0, "eventType"),
    "ory-kratos": ("eventType",),
    "sandbox": ("eventType",),
    "trivore": ("eventType",),
    "workos": ("event",),
    "zitadel-actions": ("event_type",),
}


@pytest.fixture(autouse=True)
def _database(database: None) -> None:
    pass


def create_source(name: str) -> Source:
    source = Source(slug="sender", name="Sender", **SOURCE_PRESETS[name].copy_settings())
    source.full_clean()
    source.save()
    if name not in UNSIGNED:
        SourceSecret.objects.create(source=source, value=secret_of(name), hint="test")
    return source


def sample_of(name: str, index: int = 0) -> RecordedRequest:
    return SOURCE_PRESETS[name].samples[index]


def sign(name: str, body: bytes, *, index: int = 0, secret: str = "", age: float = 0) -> dict[str, str]:
    """Return all headers of a sample, signed as the sender does, `age` seconds ago."""
    sample = sample_of(name, index)
    if name in UNSIGNED:
        return dict(sample.headers)
    signed = SIGNERS[name](sample, body, secret or secret_of(name), time.time() - age)
    return {**sample.headers, **signed}


def post(
    name: str, body: bytes, headers: dict[str, str], *, index: int = 0, content_type: str = ""
) -> HttpResponse:
    media_type = content_type or sample_of(name, index).content_type
    return CLIENT.generic("POST", ADDRESS, body, headers={"Content-Type": media_type, **headers})


def body_of(name: str, index: int = 0, secret: str = "") -> bytes:
    """Return the body of a sample."""
    return write_body(name, sample_of(name, index).body, secret or secret_of(name))


def send_changed(name: str, value: Any, *places: tuple[str | int, ...]) -> HttpResponse:
    """Send the first sample with another value at these places, or without the fields if the value is None."""
    document = copy.deepcopy(sample_of(name).body)
    for place in places:
        holder = document
        for step in place[:-1]:
            holder = holder[step]
        if value is None:
            del holder[place[-1]]
        else:
            holder[place[-1]] = value
    body = write_body(name, document, secret_of(name))
    return post(name, body, sign(name, body))


def stored_events() -> Iterator[ExpectedEvent]:
    for event in Event.objects.order_by("pk").select_related("payload__subject"):
        document = {} if event.payload is None else json.loads(event.payload.decrypt())
        at = event.occurred_at
        yield ExpectedEvent(
            entity_id=event.entity_id,
            entity_type=event.entity_type,
            event_type=event.event_type,
            occurred_at=at and at.isoformat().replace("+00:00", "Z"),
            event_id=event.event_id,
            previous=document.get("previous"),
            data=document.get("data"),
            code=event.code if event.code == "filtered" else "ignored" if not _is_known(event) else "",
        )


def _is_known(event: Event) -> bool:
    return event.event_type in ("CREATE", "UPDATE", "DELETE")


def read_database() -> str:
    """Return the text of every table but that of the secrets, and all payloads in plain."""
    with connection.cursor() as cursor:
        tables = [
            table
            for table in connection.introspection.table_names(cursor)
            if table.startswith(("webhooks_", "audit_", "sync_")) and table != "webhooks_sourcesecret"
        ]
        rows = []
        for table in tables:
            cursor.execute(f'SELECT * FROM "{table}"')
            rows.extend(
                bytes(value).decode("utf-8", "replace")
                if isinstance(value, bytes | memoryview)
                else str(value)
                for row in cursor.fetchall()
                for value in row
            )
    plain = [payload.decrypt().decode() for payload in Payload.objects.select_related("subject")]
    return "\n".join([*rows, *plain])


def refused(answer: HttpResponse) -> tuple[int, str]:
    assert not Event.objects.exists()
    return answer.status_code, answer.json()["code"]


@pytest.mark.parametrize(("name", "index"), SAMPLES)
def test_a_recorded_request_becomes_exactly_its_events_and_nothing_secret_is_stored(
    name: str, index: int
) -> None:
    create_source(name)
    sample = sample_of(name, index)
    body = body_of(name, index)
    headers = sign(name, body, index=index)
    answer = post(name, body, headers, index=index)
    assert answer.status_code in (200, 202, 204), answer.content
    if name in ("okta-event-hooks", "workos"):
        assert (answer.status_code, answer.content) == (200, b"")
    assert list(stored_events()) == list(sample.events)
    assert all(event.is_signed is (name not in UNSIGNED) for event in Event.objects.all())
    assert Receipt.objects.count() == 1
    stored = read_database()
    assert all(event.entity_id in stored for event in sample.events)
    assert secret_of(name) not in stored
    assert PASSWORD not in stored
    known = {*sample.headers, "svix-timestamp"}
    assert not any(value in stored for header, value in headers.items() if header not in known)


@pytest.mark.parametrize("name", [name for name, preset in SOURCE_PRESETS.items() if preset.source.handshake])
def test_the_handshake_of_the_sender_is_answered(name: str) -> None:
    source = create_source(name)
    handshake = source.handshake
    if handshake["from"] == "origin":
        answer = CLIENT.options(ADDRESS, headers={"WebHook-Request-Origin": "eventgrid.azure.net"})
        assert (answer.status_code, answer["WebHook-Allowed-Origin"]) == (200, "eventgrid.azure.net")
        return
    challenge = "Validation: 3xK+challenge"
    header = handshake["from"] == "header"
    query = "" if header else f"?{handshake['name']}=Validation%3A+3xK%2Bchallenge"
    answer = CLIENT.generic(
        handshake.get("method", "GET"),
        ADDRESS + query,
        headers={handshake["name"]: challenge} if header else {},
    )
    assert answer.status_code == 200
    if handshake.get("as") == "text":
        assert answer.content.decode() == challenge
    else:
        assert answer.json() == {handshake["field"]: challenge}


@pytest.mark.parametrize("name", SIGNERS)
def test_a_request_that_its_sender_did_not_sign_is_refused(name: str) -> None:
    create_source(name)
    right = body_of(name)
    forged = body_of(name, secret=other_secret_of(name))
    attempts = [
        (forged, sign(name, forged, secret=other_secret_of(name))),
        (json.dumps(sample_of(name).body).encode(), dict(sample_of(name).headers)),
    ]
    if name in SIGN_BODY:
        changed = right.replace(b"example", b"exarnple", 1) if b"example" in right else right + b" "
        attempts.append((changed, sign(name, right)))
    if name in SIGN_TIME:
        attempts += [(right, sign(name, right, age=age)) for age in (3_600, -3_600)]
    for body, headers in attempts:
        assert refused(post(name, body, headers)) == (401, "bad-signature")


@pytest.mark.parametrize("name", SOURCE_PRESETS)
def test_a_request_of_another_media_type_or_that_is_not_json_is_refused(name: str) -> None:
    create_source(name)
    body = body_of(name)
    answer = post(name, body, sign(name, body), content_type="application/x-www-form-urlencoded")
    assert refused(answer) == (415, "wrong-content-type")
    answer = post(name, b'{"id":', sign(name, b'{"id":'))
    # Zitadel reads the status in the body.
    status = answer.json()["forwardedStatusCode"] if name == "zitadel-actions" else answer.status_code
    assert status == (401 if name in SECRET_IN_BODY else 400)
    assert not Event.objects.exists()


@pytest.mark.submission_rows(8)
@pytest.mark.parametrize("name", SOURCE_PRESETS)
def test_an_event_without_its_subject_or_with_a_hostile_one_is_not_delivered(name: str) -> None:
    create_source(name)
    first = sample_of(name).events[0].entity_id
    for subject in (None, "../admin", "a b", "%2e%2e", "x" * 129, "", {"a": 1}, True):
        answer = send_changed(name, subject, *SUBJECTS[name])
        assert answer.status_code in (200, 202, 400)
        events = Event.objects.exclude(code="filtered")
        assert not events.filter(entity_id=str(subject)).exists()
        assert not events.filter(entity_id=first, event_type="UPDATE").exists()


@pytest.mark.submission
@pytest.mark.parametrize("name", WORDS)
def test_an_event_of_an_unknown_kind_is_stored_and_ignored(name: str) -> None:
    create_source(name)
    answer = send_changed(name, "admin.USER-ACTION" if name == "keycloak" else "something.else", WORDS[name])
    assert answer.status_code in (200, 202, 204), answer.content
    first = Event.objects.order_by("pk").first()
    assert first is not None
    assert (first.state, first.deliveries.count()) == ("ignored", 0)


def test_an_id_of_cloud_events_counts_for_its_producer_alone() -> None:
    """CloudEvents 1.0.2, section 3.1.1: only `source` and `id` together are unique."""
    create_source("cloudevents")
    [sent] = sample_of("cloudevents", 1).body[:1]
    long_source = "/subscriptions/" + "x" * 300
    sources = ["/one", "/two", "/one", long_source, long_source + "y"]
    body = json.dumps([{**sent, "source": source} for source in sources]).encode()
    answer = post("cloudevents", body, sign("cloudevents", body), index=1)
    assert [result["status"] for result in answer.json()["results"]] == ["ignored"] * 5
    event_ids = list(Event.objects.order_by("pk").values_list("event_id", flat=True))
    assert event_ids[:2] == ["A234-1234-2 /one", "A234-1234-2 /two"]
    assert len(set(event_ids)) == 4


@pytest.mark.parametrize(
    ("name", "index"), [(name, index) for name, index in SAMPLES if sample_of(name, index).is_test]
)
def test_a_test_event_of_the_sender_is_answered_as_a_success_and_delivered_nowhere(
    name: str, index: int
) -> None:
    create_source(name)
    body = body_of(name, index)
    answer = post(name, body, sign(name, body, index=index), index=index)
    assert 200 <= answer.status_code < 300
    assert all(event.state == "ignored" and event.deliveries.count() == 0 for event in Event.objects.all())


@pytest.mark.submission_rows(3)
@pytest.mark.parametrize(
    "name", sorted(SOURCE_PRESETS, key=lambda name: SOURCE_PRESETS[name].source.webhook_format is None)
)
def test_the_largest_body_that_a_preset_accepts_passes_and_a_larger_one_does_not(name: str) -> None:
    source = create_source(name)
    largest = source.parsed_format.max_bytes
    body = body_of(name)
    padded = body + b" " * (largest - len(body))
    assert 200 <= post(name, padded, sign(name, padded)).status_code < 300
    larger = padded + b" "
    assert post(name, larger, sign(name, larger)).status_code == 413


def test_sixty_events_of_okta_are_accepted_in_one_request() -> None:
    """They exceed what is accepted without a setting."""
    source = create_source("okta-event-hooks")
    document = copy.deepcopy(sample_of("okta-event-hooks").body)
    [event] = document["data"]["events"][:1]
    # As long as those of the System Log, with the client, its place and what it says for debugging.
    details = {"client": {"userAgent": {"rawUserAgent": "x" * 1_500}}}
    events = [{**event, **details, "uuid": f"{event['uuid']}-{number}"} for number in range(60)]
    body = json.dumps({**document, "data": {"events": events}}).encode()
    assert DEFAULT_MAX_BODY_BYTES < 114_000 < len(body) < source.parsed_format.max_bytes
    answer = post("okta-event-hooks", body, sign("okta-event-hooks", body))
    assert (answer.status_code, Event.objects.count()) == (200, 60)


def test_an_answer_never_waits_longer_than_its_sender() -> None:
    for name, preset in SOURCE_PRESETS.items():
        source = Source(**preset.copy_settings())
        assert source.default_mode == "ack" or name in ("ory-kratos", "sandbox", "trivore"), name
        assert preset.time_limit_seconds is None or source.wait_seconds < preset.time_limit_seconds, name
