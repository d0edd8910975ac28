"""A webhook that is stored by one statement of PostgreSQL (`webhooks.receiving.store`): whose key may be gone by then, or come."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, transaction
from django.utils import timezone

from audit.models import Entry
from database.bulk_insert import store_after
from sync.models import Attempt, Delivery
from tests.support.audit.chain_faults import faults
from tests.support.hub import ANNA, EXAMPLE, Hub
from tests.support.simultaneous_webhooks import Sent, Together
from tests.support.threads import in_threads
from webhooks.models import Event, Payload, Receipt, SubjectKey, are_there_still, subject_key
from webhooks.receiving import store

pytestmark = pytest.mark.writers_at_once


def once_looked_up(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], Any]) -> list[SubjectKey]:
    """Let something happen when the first webhook has looked its key up; what it found."""
    found: list[SubjectKey] = []
    look_up = store.look_up

    def and_then(*arguments: Any) -> Any:
        looked_up = look_up(*arguments)
        if not found:
            found.append(looked_up[0])
            happens()
        return looked_up

    monkeypatch.setattr(store, "look_up", and_then)
    return found


def destroy_all() -> None:
    SubjectKey.objects.update(wrapped=None, destroyed_at=timezone.now())


def test_the_audit_log_names_the_receipt_and_the_delivery_as_they_are_stored(hub: Hub) -> None:
    hub.post_signed(EXAMPLE)
    hub.wait_until_quiet()
    event, delivery = Event.objects.get(), Delivery.objects.get()
    entries = {
        each.action: each for each in Entry.objects.filter(action__in=["webhook.received", "attempt.started"])
    }
    came, began = entries["webhook.received"], entries["attempt.started"]
    assert came.stream == event.stream
    assert json.loads(came.body)["details"]["receipt"] == Receipt.objects.get().own_reference
    assert began.stream == delivery.stream
    assert json.loads(began.body)["details"]["attempt"] == str(Attempt.objects.get().key)
    assert faults() == []


def test_where_its_key_is_destroyed_meanwhile_it_is_sealed_under_a_new_one(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.post_signed(EXAMPLE)
    hub.wait_until_quiet()
    before = Payload.objects.count()
    found = once_looked_up(monkeypatch, destroy_all)
    assert hub.post_signed(EXAMPLE).status_code == 200
    hub.wait_until_quiet()
    (old,) = found
    event = Event.objects.latest("pk")
    assert event.payload is not None
    assert event.payload.subject not in (None, old)
    assert event.payload.open() == EXAMPLE
    assert Payload.objects.filter(subject=old).count() == before
    assert faults() == []


def test_several_of_which_one_has_lost_its_key_meanwhile_are_all_stored(
    together: Together, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = ["U1", "U2", "U3"]
    for person in people:
        assert hub.post_signed(*ack(person, "before")).status_code == 202
    keys = {each: key_of(each) for each in people}
    number, numbers = store.number, set[int]()

    def and_then(rows: list[Any]) -> None:
        number(rows)
        numbers.update(each.pk for each in rows if isinstance(each, Event))
        SubjectKey.objects.filter(pk=keys["U2"].pk).update(wrapped=None, destroyed_at=timezone.now())

    monkeypatch.setattr(store, "number", and_then)
    told = together.send(ack("U0", "first"), *(ack(each, "again") for each in [*people, "U4"]))
    assert [each.status_code for each in told] == [202] * 5
    assert together.sizes == [1, 4]
    assert {each: key_of(each) == key for each, key in keys.items()} == {"U1": True, "U2": False, "U3": True}
    again = Event.objects.filter(event_id__endswith="again")
    assert all(each.payload.open() for each in again)
    assert len(numbers) == 4
    assert not again.filter(pk__in=numbers), (
        "what comes after an erasure has a higher number than what it ends"
    )
    assert faults() == []


def ack(person: str, when: str) -> Sent:
    return json.loads(EXAMPLE) | {"id": person, "respond": "ack"}, f"{person}-{when}"


def key_of(person: str) -> SubjectKey:
    payload = Event.objects.filter(entity_id=person).latest("pk").payload
    assert payload is not None
    assert payload.subject is not None
    return payload.subject


def test_two_of_a_new_subject_that_come_at_the_same_moment_are_both_stored_under_one_key(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def another_comes() -> None:
        in_threads(lambda _: hub.post_signed(EXAMPLE), 1)

    found = once_looked_up(monkeypatch, another_comes)
    assert hub.post_signed(EXAMPLE).status_code == 200
    hub.wait_until_quiet()
    assert [each._state.adding for each in found] == [True], (
        "it was new when it was looked up, and not stored"
    )
    assert [each.entity_id for each in Event.objects.all()] == [ANNA, ANNA]
    assert set(Payload.objects.values_list("subject", flat=True)) == {SubjectKey.objects.get().pk}
    assert faults() == []


def test_nobody_destroys_a_key_before_what_is_sealed_under_it_is_stored(database: None) -> None:
    key = subject_key(1, "USER", ANNA)

    def destroys(_: int) -> None:
        with pytest.raises(OperationalError), transaction.atomic():
            list(SubjectKey.objects.select_for_update(nowait=True))

    with transaction.atomic():
        store_after(are_there_still([key]), 1, Payload.of(Payload.Kind.WEBHOOK, b"{}", key))
        in_threads(destroys, 1)
