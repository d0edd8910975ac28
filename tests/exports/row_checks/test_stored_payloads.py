"""A row that names another payload than its audit entry, or none, is found."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import models

from database.clock import read_clock
from exports.row_checks.nightly_rows import find_row_faults
from sync.erasure.erase import run_erasure
from sync.housekeeping import retention_rules
from sync.models import Attempt, Call
from tests.support.builders import event_batches
from tests.support.builders.erasure import confirmed_erasure, invented_person, receive_people
from tests.support.hub import EXAMPLE, Hub
from webhooks.models import Event, Payload, Receipt, State

COLUMNS: list[tuple[type[models.Model], str, str]] = [
    (Event, "", "payload"),
    (Receipt, "event__", "answer"),
    (Attempt, "delivery__event__", "findings"),
    (Call, "attempt__delivery__event__", "request"),
    (Call, "attempt__delivery__event__", "response"),
]


def exchange(model: type[Any], column: str, first: Any, second: Any) -> None:
    model.objects.filter(pk=first.pk).update(**{column: getattr(second, f"{column}_id")})
    model.objects.filter(pk=second.pk).update(**{column: getattr(first, f"{column}_id")})


def test_exchanged_payloads_of_two_people_are_found(hub: Hub) -> None:
    people = [person.entity_id for person in receive_people(hub, map(invented_person, range(2)))]
    assert list(find_row_faults()) == []
    for model, path, column in COLUMNS:
        rows: list[Any] = [
            model._default_manager.filter(
                **{f"{path}entity_id": person, f"{column}__isnull": False}
            ).earliest("pk")
            for person in people
        ]
        exchange(model, column, *rows)
        faults = list(find_row_faults())
        assert len(faults) == 2, faults
        assert all(f"{column}_id: names a payload of another entity" in fault for fault in faults)
        for row in rows:
            row.save(update_fields=[column])
    Receipt.objects.filter(event__entity_id=people[0]).update(
        answer=Event.objects.get(entity_id=people[0]).payload
    )
    (fault,) = find_row_faults()
    assert "answer_id: names a payload of another entity or of another kind" in fault


@pytest.fixture
def two_webhooks(hub: Hub) -> Hub:
    """Return a hub with two delivered webhooks of one person, each with a write."""
    for address in ("anna.one@example.com", "anna.two@example.com"):
        hub.change_email(address)
        hub.post_signed(EXAMPLE)
    hub.wait_until_quiet()
    return hub


@pytest.mark.submission
def test_exchanged_payloads_of_two_webhooks_of_one_person_are_found(two_webhooks: Hub) -> None:
    assert list(find_row_faults()) == []
    for model, _, column in (*COLUMNS, (Receipt, "", "payload")):
        rows: Any = model._default_manager.filter(**{f"{column}__isnull": False})
        first, second = rows.earliest("pk"), rows.latest("pk")
        assert getattr(first, f"{column}_id") != getattr(second, f"{column}_id")
        exchange(model, column, first, second)
        faults = list(find_row_faults())
        assert len(faults) == 2, faults
        assert all(f"{column}_id: names another payload than its entry" in fault for fault in faults)
        for row in (first, second):
            row.save(update_fields=[column])


@pytest.mark.submission
@pytest.mark.parametrize("change", ["exchanged", "kind", "size"])
def test_a_changed_payload_is_found(two_webhooks: Hub, change: str) -> None:
    first, second = Payload.objects.filter(kind=Payload.Kind.ANSWER).order_by("pk")[:2]
    values = {"kind": Payload.Kind.FINDINGS, "size": first.size + 1, "encrypted": bytes(second.encrypted)}
    if change == "exchanged":
        Payload.objects.filter(pk=second.pk).update(encrypted=first.encrypted, size=first.size)
        change = "encrypted"
    Payload.objects.filter(pk=first.pk).update(**{change: values[change]})
    assert [fault for fault in find_row_faults() if "receipts" in fault and "answer_id" in fault]


@pytest.mark.submission
def test_a_payload_that_was_deleted_by_sql_is_found(two_webhooks: Hub) -> None:
    known: set[str] = set()
    for kind in Payload.Kind:
        Payload.objects.filter(kind=kind)[0].delete()
        faults = set(find_row_faults()) - known
        assert faults, kind
        assert all("names no stored payload, but its entry does" in fault for fault in faults)
        known |= faults


@pytest.mark.submission
def test_a_payload_that_retention_deleted_is_no_fault(
    two_webhooks: Hub, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.KEEP_PAYLOADS_DAYS = 1
    settings.KEEP_CALLS_DAYS = settings.KEEP_EVENTS_DAYS = settings.KEEP_AUDIT_DAYS = 0
    later = read_clock() + timedelta(days=2)
    monkeypatch.setattr(retention_rules, "read_clock", lambda: later)
    retention_rules.prune_expired()
    assert not Payload.objects.exists()
    assert list(find_row_faults()) == []


@pytest.mark.submission
def test_no_unchanged_payload_is_a_fault(hub: Hub) -> None:
    event_batches.add_token()
    event_batches.set_format(event_batches.FORMAT)
    people = receive_people(hub, map(invented_person, range(3)))
    event_batches.post(
        hub, *(event_batches.event(one.entity_id, uid=one.name) for one in people), {"ok": True}
    )
    hub.post_signed(people[0].body, f"msg-{people[0].entity_id}")
    hub.post_signed(b"{}")
    hub.shop.faults.add("error", status=503)
    hub.post_signed(people[1].body)
    hub.shop.faults.clear()
    hub.wait_until_quiet()
    assert list(find_row_faults()) == []
    assert run_erasure(confirmed_erasure(people[0]))
    hub.post_signed(people[0].body)  # begins a new subject
    hub.wait_until_quiet()
    assert list(find_row_faults()) == []
    assert Event.objects.exclude(state=State.SUCCEEDED).exists()
