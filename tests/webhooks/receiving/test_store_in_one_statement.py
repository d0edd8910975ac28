"""A webhook that is stored by one batch (`webhooks.receiving.store`) while its key is destroyed or inserted."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, transaction
from django.utils import timezone

from audit.models import Entry
from database.write_batch import WriteBatch
from sync.models import Attempt, Delivery
from tests.support.audit.chain_faults import find_chain_faults
from tests.support.hub import ANNA, EXAMPLE, Hub
from tests.support.simultaneous_webhooks import Sent, SimultaneousWebhooks
from tests.support.threads import in_threads
from webhooks.models import Event, Payload, Receipt, SubjectKey, find_or_create_keys, subject_key
from webhooks.receiving import store

pytestmark = pytest.mark.concurrent


def once_looked_up(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], Any]) -> list[SubjectKey]:
    """Let something happen when the first webhook has looked its key up; what it found."""
    found: list[SubjectKey] = []

    def and_then(*arguments: Any) -> Any:
        keys = find_or_create_keys(*arguments)
        if not found:
            found.extend(keys.values())
            happens()
        return keys

    monkeypatch.setattr(store, "find_or_create_keys", and_then)
    return found


def test_the_audit_log_names_the_receipt_and_the_delivery_as_they_are_stored(hub: Hub) -> None:
    hub.post_signed(EXAMPLE)
    hub.wait_until_quiet()
    event, delivery = Event.objects.get(), Delivery.objects.get()
    entries = {
        entry.action: entry
        for entry in Entry.objects.filter(action__in=["webhook.received", "attempt.started"])
    }
    came, began = entries["webhook.received"], entries["attempt.started"]
    assert came.stream == event.stream
    assert json.loads(came.body)["details"]["receipt"] == Receipt.objects.get().own_reference
    assert began.stream == delivery.stream
    assert json.loads(began.body)["details"]["attempt"] == str(Attempt.objects.get().key)
    assert find_chain_faults() == []


def test_a_group_with_one_destroyed_key_is_stored_completely(
    together: SimultaneousWebhooks, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = ["U1", "U2", "U3"]
    for person in people:
        assert hub.post_signed(*ack(person, "before")).status_code == 202
    keys = {person: key_of(person) for person in people}

    def and_then(subjects: Any, batch: Any) -> Any:
        found = find_or_create_keys(subjects, batch)
        if len(subjects) > 1:
            SubjectKey.objects.filter(pk=keys["U2"].pk).update(wrapped=None, destroyed_at=timezone.now())
        return found

    monkeypatch.setattr(store, "find_or_create_keys", and_then)
    answers = together.send(ack("U0", "first"), *(ack(person, "again") for person in [*people, "U4"]))
    assert [answer.status_code for answer in answers] == [202] * 5
    assert together.sizes == [1, 4]
    assert {person: key_of(person) == key for person, key in keys.items()} == {
        "U1": True,
        "U2": False,
        "U3": True,
    }
    again = Event.objects.filter(event_id__endswith="again")
    assert all(event.payload.decrypt() for event in again)
    assert len(again) == 4
    assert find_chain_faults() == []


def ack(person: str, when: str) -> Sent:
    return json.loads(EXAMPLE) | {"id": person, "respond": "ack"}, f"{person}-{when}"


def key_of(person: str) -> SubjectKey:
    payload = Event.objects.filter(entity_id=person).latest("pk").payload
    assert payload is not None
    assert payload.subject is not None
    return payload.subject


def test_two_simultaneous_webhooks_of_a_new_subject_are_stored_with_one_key(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def another_comes() -> None:
        in_threads(lambda _: hub.post_signed(EXAMPLE), 1)

    found = once_looked_up(monkeypatch, another_comes)
    assert hub.post_signed(EXAMPLE).status_code == 200
    hub.wait_until_quiet()
    assert [key._state.adding for key in found] == [True], "it was new when it was looked up, and not stored"
    assert [event.entity_id for event in Event.objects.all()] == [ANNA, ANNA]
    assert set(Payload.objects.values_list("subject", flat=True)) == {SubjectKey.objects.get().pk}
    assert find_chain_faults() == []


@pytest.mark.writers_at_once
def test_a_key_is_not_destroyed_while_data_encrypted_with_it_are_stored(database: None) -> None:
    key = subject_key(1, "USER", ANNA)

    def try_to_lock_keys(_: int) -> None:
        with pytest.raises(OperationalError), transaction.atomic():
            list(SubjectKey.objects.select_for_update(nowait=True))

    with transaction.atomic():
        batch = WriteBatch()
        assert list(find_or_create_keys([(1, "USER", ANNA)], batch).values()) == [key]
        batch.insert(Payload.new(Payload.Kind.WEBHOOK, b"{}", key))
        batch.run()
        in_threads(try_to_lock_keys, 1)
