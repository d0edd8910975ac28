"""Every row of the contract's table of statuses over HTTP, and the answers of a hub that cannot store."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client

from sync.models import Delivery, Route
from tests.support.http.machine_answers import CANARY, assert_sound_answer
from tests.support.hub import EXAMPLE, Hub
from webhooks.models import Event, Receipt, Source

SEED = json.loads(EXAMPLE)
Send = Callable[[Hub], HttpResponse]


def seed(**changed: Any) -> bytes:
    return json.dumps(SEED | changed).encode()


def changed_then(post: Send, **fault: Any) -> Send:
    """Change the address, add a fault of the shop, then send the webhook."""

    def send(hub: Hub) -> HttpResponse:
        hub.change_email("anna.answered@example.com")
        if fault:
            hub.shop.faults.add(**fault)
        return post(hub)

    return send


def send_in_turn(first: Send, then: Send) -> Send:
    return lambda hub: (first(hub), then(hub))[1]


def with_identity_fault(**fault: Any) -> Send:
    def send(hub: Hub) -> HttpResponse:
        hub.identity.faults.add(**fault)
        return hub.post_signed(EXAMPLE)

    return send


def with_two_matches(hub: Hub) -> HttpResponse:
    for number in range(2):
        hub.shop.catalogue.create_record(
            "customers", {"external_id": "TWICE", "email": f"twice.{number}@example.com"}
        )
    hub.identity.directory.create_record(
        "users", {"id": "TWICE", "username": "t", "emails": [{"address": "t@example.com", "verified": True}]}
    )
    return hub.post_signed(seed(id="TWICE"))


def relayed_older(hub: Hub) -> HttpResponse:
    Route.objects.filter(entity_type="USER").update(relays=True)
    data = {"id": SEED["id"], "emails": [{"address": "newer@example.com", "verified": True}]}
    hub.post_signed(seed(data=data, timestamp="2026-01-01T00:00:01Z"))
    return hub.post_signed(seed(data=data, timestamp="2026-01-01T00:00:00Z"))


def with_a_huge_entity(hub: Hub) -> HttpResponse:
    hub.identity.directory.update_record("users", SEED["id"], {"about": "x" * 262_144}, replaces=False)
    return hub.post_signed(seed(respond="entity"))


def send_to_disabled_source(hub: Hub) -> HttpResponse:
    Source.objects.filter(slug="aurora").update(is_enabled=False)
    return hub.post_signed(EXAMPLE)


signed_example: Send = lambda hub: hub.post_signed(EXAMPLE)  # noqa: E731 - a row's cell

ROWS: list[tuple[str, Send, int, str]] = [
    ("done", changed_then(signed_example), 200, "succeeded"),
    ("nothing to do", send_in_turn(signed_example, signed_example), 200, "unchanged"),
    ("an older state", relayed_older, 200, "superseded"),
    ("no route", lambda hub: hub.post_signed(seed(entityType="DEVICE")), 200, "ignored"),
    ("an unmapped word", lambda hub: hub.post_signed(seed(eventType="TOUCHED")), 200, "ignored"),
    ("ack", lambda hub: hub.post_signed(seed(respond="ack")), 202, "accepted"),
    ("missing member", lambda hub: hub.post_signed(b"{}"), 400, "missing-member"),
    ("not verified", lambda hub: hub.post(EXAMPLE, "aurora"), 401, "bad-signature"),
    ("may not have it", lambda hub: hub.post(seed(respond="entity")), 403, "not-allowed"),
    ("unknown source", lambda hub: hub.post(EXAMPLE, "nobody"), 404, "unknown-source"),
    ("wrong method", lambda hub: hub.client.get("/webhooks/aurora"), 405, "wrong-method"),
    (
        "same id, other body",
        send_in_turn(
            lambda hub: hub.post_signed(EXAMPLE, "msg_x"), lambda hub: hub.post_signed(seed(extra=1), "msg_x")
        ),
        409,
        "event-id-conflict",
    ),
    ("two records match", with_two_matches, 409, "ambiguous-match"),
    ("disabled", send_to_disabled_source, 410, "source-disabled"),
    ("refused", changed_then(signed_example, kind="refuse"), 422, "target-rejected"),
    ("an entity too large to hand over", with_a_huge_entity, 422, "entity-too-large"),
    ("the shop is down", changed_then(signed_example, kind="error"), 424, "target-unavailable"),
    ("the shop hangs up", changed_then(signed_example, kind="drop"), 424, "target-unavailable"),
    (
        "the shop is busy",
        changed_then(signed_example, kind="throttle", retry_after=60),
        424,
        "target-throttled",
    ),
    ("the shop talks nonsense", changed_then(signed_example, kind="garbage"), 424, "target-garbled"),
    ("the identity service is down", with_identity_fault(kind="error"), 424, "identity-unavailable"),
    (
        "our credentials are refused",
        with_identity_fault(kind="error", status=401),
        424,
        "identity-credentials",
    ),
]


@pytest.mark.promise("I12")
@pytest.mark.one_database
@pytest.mark.parametrize(("send", "status", "word"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_each_outcome_has_the_status_code_and_headers_of_the_contract(
    hub: Hub, send: Send, status: int, word: str
) -> None:
    answer = send(hub)
    document = assert_sound_answer(answer)
    assert (answer.status_code, document["code" if status >= 400 else "status"]) == (status, word)
    assert ("Location" in answer) == (status == 202)
    assert status != 405 or answer["Allow"] == "POST"
    if status == 424:
        state = Delivery.objects.latest("pk").state
        assert document["retrying"] is (state == "retrying")
    if Receipt.objects.exists() and "reference" in document:
        receipt = Receipt.objects.latest("pk")
        assert (receipt.status, receipt.answer.decrypt(), receipt.reference) == (
            status,
            answer.content,
            document["reference"],
        )


@pytest.mark.promise("I21", "T29")
@pytest.mark.parametrize(
    ("table", "status"), [("webhooks_source", 503), ("webhooks_payload", 429), ("sync_route", 503)]
)
def test_a_hub_that_cannot_store_says_when_to_retry_and_recovers(
    hub: Hub, settings: Any, table: str, status: int
) -> None:
    settings.UNAVAILABLE_STATUS = status
    with renamed_table(table):
        answer = hub.post(seed(id="X1", entityType="DEVICE", extra=CANARY))
        assert (answer.status_code, assert_sound_answer(answer)["code"]) == (status, "storage-unavailable")
        assert 0 < int(answer["Retry-After"]) <= 10
        assert table not in answer.content.decode()
    assert Event.objects.count() == 0
    assert Receipt.objects.count() == 0
    assert hub.post(seed(id="X1", entityType="DEVICE")).status_code == 200


@contextmanager
def renamed_table(table: str) -> Iterator[None]:
    """Rename the table, so that the database refuses every statement that needs it."""
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO {table}_away")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {table}_away RENAME TO {table}")


@pytest.mark.promise("T21")
@pytest.mark.parametrize("debug", [False, True])
def test_an_unexpected_error_is_500_in_json_and_stores_nothing(
    database: None, settings: Any, debug: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError(CANARY)

    Source.objects.create(slug="sender", name="Sender", scheme="none")
    monkeypatch.setattr("webhooks.receiving.receive.record_webhook", fail)
    settings.DEBUG = debug
    client = Client(raise_request_exception=False)
    answer = client.post("/webhooks/sender", EXAMPLE, content_type="application/json")
    assert (answer.status_code, assert_sound_answer(answer)["code"]) == (500, "internal-error")
    assert b"Traceback" not in answer.content
    assert Event.objects.count() == 0
