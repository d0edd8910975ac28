"""The audit log: written in the transaction it records, never changed, and free of personal data."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction

from audit.entries.append import NewEntry, NotInTransaction, append_entries
from audit.models import Entry
from sync.models import Delivery
from sync.replays.requests import request_replay
from tests.support.hub import ANNA, EXAMPLE, Hub
from webhooks.models import Event

ANYWHERE = [
    "UPDATE audit_entry SET details = '{}'",
    "UPDATE audit_entry SET id = id + 1000",
    "UPDATE audit_entry SET actor = actor WHERE id = (SELECT min(id) FROM audit_entry)",
    "DELETE FROM audit_entry",
    "DELETE FROM audit_entry WHERE id = (SELECT max(id) FROM audit_entry)",
    "INSERT INTO audit_entry SELECT * FROM audit_entry WHERE true ON CONFLICT (id) DO UPDATE SET details = '{}'",
]
ON_SQLITE = [
    "INSERT OR REPLACE INTO audit_entry (id, stream, at, action, actor, details) "
    "SELECT id, stream, at, action, 'x', details FROM audit_entry",
    "REPLACE INTO audit_entry (id, stream, at, action, actor, details) "
    "SELECT id, stream, at, action, 'x', details FROM audit_entry",
    "INSERT OR REPLACE INTO audit_entry (stream, at, action, actor, details, stream_seq, leaf) "
    "SELECT stream, at, action, 'x', details, stream_seq, leaf FROM audit_entry",
    "UPDATE OR REPLACE audit_entry SET stream_seq = 1",
    "INSERT OR REPLACE INTO audit_entry (rowid, stream, at, action, actor, details) "
    "SELECT rowid, stream, at, action, 'x', details FROM audit_entry",
    "UPDATE OR REPLACE audit_entry SET id = 1",
    "UPDATE OR IGNORE audit_entry SET details = '{}'",
]
ON_POSTGRESQL = [
    "TRUNCATE audit_entry",
    "TRUNCATE audit_entry RESTART IDENTITY CASCADE",
    "WITH gone AS (DELETE FROM audit_entry RETURNING *) SELECT * FROM gone",
]
STATEMENTS = ANYWHERE + (ON_SQLITE if connection.vendor == "sqlite" else ON_POSTGRESQL)


def test_an_entry_outside_a_transaction_is_refused(database: None) -> None:
    with pytest.raises(NotInTransaction):
        append_entries(NewEntry("system", "test.happened"))
    assert Entry.objects.count() == 0


def test_the_body_consists_of_the_columns(database: None) -> None:
    at = datetime(2026, 3, 4, 14, 0, 0, 5, tzinfo=timezone(timedelta(hours=2)))
    with transaction.atomic():
        append_entries(NewEntry("person:7", "login.failed", "person:7", {"ä": [1, None, True]}), at=at)
    entry = Entry.objects.get()
    assert entry.body == (
        '{"action":"login.failed","actor":"person:7","at":"2026-03-04T12:00:00.000005Z",'
        f'"details":{{"\\u00e4":[1,null,true]}},"prev_leaf":"{"0" * 64}","stream":"person:7","stream_seq":1,"v":1}}'
    )
    assert (entry.stream, entry.action, entry.actor, entry.at) == ("person:7", "login.failed", "person:7", at)
    assert entry.details == '{"\\u00e4":[1,null,true]}'


@pytest.mark.promise("T18")
def test_the_database_refuses_to_change_an_entry(database: None) -> None:
    with transaction.atomic():
        append_entries(NewEntry("system", "test.one"), NewEntry("system", "test.two"))
    before = list(Entry.objects.order_by("pk").values())
    for statement in STATEMENTS:
        assert refused(lambda statement=statement: run(statement)) == "audit entries are insert-only"
    entry = Entry.objects.earliest("pk")
    for change in (lambda: Entry.objects.update(details="{}"), Entry.objects.all().delete, entry.save):
        assert refused(change) == "audit entries are insert-only"
    assert list(Entry.objects.order_by("pk").values()) == before


def test_a_webhook_leaves_its_entries_in_order(hub: Hub) -> None:
    hub.change_email("anna.audit@example.com")
    settings = Entry.objects.latest("pk").pk
    hub.post_signed(EXAMPLE)
    event, delivery = Event.objects.get(), Delivery.objects.get()
    story = [
        (entry.stream, entry.action, entry.actor)
        for entry in Entry.objects.filter(pk__gt=settings).order_by("pk")
    ]
    assert story == [
        (event.stream, "webhook.received", "source:aurora"),
        (delivery.stream, "attempt.started", "system"),
        (delivery.stream, "attempt.succeeded", "system"),
        (event.stream, "webhook.answered", "system"),
    ]


def test_changed_fields_of_an_attempt_are_recorded_without_values(hub: Hub) -> None:
    hub.change_email("anna.fields@example.com")
    hub.post_signed(EXAMPLE)
    details = json.loads(Entry.objects.get(action="attempt.succeeded").details)
    attempt = Delivery.objects.get().attempts.get()
    assert details["attempt"] == str(attempt.key)
    assert (details["action"], details["fields"], details["state"]) == ("updated", ["email"], "succeeded")
    assert details["event"] == Event.objects.get().reference


def is_refused_by_the_shop(hub: Hub) -> list[str]:
    hub.change_email("taken@example.com")
    hub.post_signed(EXAMPLE)
    return ["webhook.received", "attempt.started", "attempt.failed", "webhook.answered"]


def has_a_bad_signature(hub: Hub) -> list[str]:
    hub.post(EXAMPLE, "aurora", **{"webhook-id": ANNA, "webhook-signature": "v1,anna.secret@example.com"})
    return ["webhook.refused"]


def comes_twice(hub: Hub) -> list[str]:
    hub.post_signed(EXAMPLE, ANNA)
    hub.post_signed(EXAMPLE, ANNA)
    story = ["webhook.received", "attempt.started", "attempt.succeeded", "webhook.answered"]
    return [*story, "webhook.repeated", "webhook.answered"]


def is_replayed(hub: Hub) -> list[str]:
    hub.post_signed(EXAMPLE)
    request_replay(Event.objects.all(), by=User.objects.create_user("staff"), reason="Anna Aalto called")
    hub.wait_until_idle()
    story = ["webhook.received", "attempt.started", "attempt.succeeded", "webhook.answered"]
    return [*story, "delivery.reopened", "event.replayed", "attempt.started", "attempt.unchanged"]


@pytest.mark.submission_rows(2)
@pytest.mark.promise("I6")
@pytest.mark.parametrize("flow", [is_refused_by_the_shop, has_a_bad_signature, comes_twice, is_replayed])
def test_no_entry_contains_personal_data(hub: Hub, flow: Callable[[Hub], list[str]]) -> None:
    hub.change_email("anna.secret@example.com")
    seeded = Entry.objects.latest("pk").pk
    expected = flow(hub)
    entries = Entry.objects.order_by("pk")
    assert [entry.action for entry in entries if entry.pk > seeded] == expected
    written = json.dumps(list(entries.values("stream", "action", "actor", "details"))).lower()
    personal = ["secret@", "taken@", "@example.com", "anna", "aalto", "+358", "401234567", ANNA.lower()]
    assert [entry for entry in personal if entry in written] == []


def run(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def refused(change: Callable[[], object]) -> str:
    """Return the first line of the database's refusal; fails without one."""
    with pytest.raises(DatabaseError) as caught, transaction.atomic():
        change()
    return str(caught.value).splitlines()[0]
