"""Texts that staff wrote about a person do not name them after an erasure."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from console.models import SavedView
from sync.erasure.erase import run_erasure
from sync.erasure.redaction import REDACTED_TEXT
from sync.models import Connection, Delivery, FailureDecision, FailureGroup, PersonRequest, Route
from sync.operations.manual_closing import close_manually
from sync.operations.pauses import pause_flow
from sync.replays.event_selection import select_events
from sync.replays.requests import request_replay
from tests.support.builders.bulk_replays import member_states, start_bulk_replay, work_replay
from tests.support.builders.erasure import (
    InventedPerson,
    confirmed_erasure,
    find_in_tables,
    invented_person,
    receive_people,
    store_people,
)
from tests.support.hub import Hub
from tests.support.people import person as staff
from webhooks.models import Event, Source, is_erased

GONE = invented_person(1)
SAID = f"{GONE.name} called"


@pytest.fixture
def by(hub: Hub) -> User:
    return staff("administrator")


@pytest.fixture
def event(hub: Hub) -> Event:
    store_people([GONE])
    return Event.objects.get()


def erased() -> None:
    assert run_erasure(confirmed_erasure(GONE))
    assert find_in_tables([GONE]) == set()


def closed_by_hand(by: User, *events: Event) -> PersonRequest:
    """Close deliveries with a note, then replay them for another reason."""
    deliveries = Delivery.objects.filter(event__in=events)
    deliveries.update(state="dead")
    key = uuid4()
    close_manually(list(deliveries.values_list("pk", flat=True)), by=by, reason=SAID, key=key)
    request_replay(events, by=by, reason="the shop is back")
    assert not Delivery.objects.filter(person_request__uuid=key).exists()
    return PersonRequest.objects.get(uuid=key)


@pytest.fixture
def nobody_delivers(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("sync.replays.requests.defer_to_workers", lambda _: None)
    yield
    Delivery.objects.filter(state="pending").update(state="closed", due_at=None)


@pytest.mark.submission
@pytest.mark.usefixtures("nobody_delivers")
def test_the_note_of_a_closed_delivery_is_withheld_even_after_a_later_replay(by: User, event: Event) -> None:
    closing = closed_by_hand(by, event)
    erased()
    closing.refresh_from_db()
    assert closing.reason == REDACTED_TEXT


@pytest.mark.submission
@pytest.mark.usefixtures("nobody_delivers")
def test_a_note_that_is_also_about_another_person_is_not_deleted(by: User, event: Event) -> None:
    store_people([invented_person(2)])
    closing = closed_by_hand(by, *Event.objects.all())
    assert run_erasure(confirmed_erasure(GONE))
    closing.refresh_from_db()
    assert closing.reason == SAID


@pytest.mark.submission
def test_the_reason_of_a_bulk_replay_that_skipped_the_event_is_withheld(hub: Hub, by: User) -> None:
    [erased_person] = receive_people(hub, [GONE])
    event = Event.objects.get()
    replay = start_bulk_replay(by, select_events(by, [event.pk]), reason=f"{erased_person.name} called")
    request_replay([event], by=by, reason="somebody was faster")
    hub.wait_until_idle()
    hub.wait_until_quiet()
    work_replay(replay)
    assert member_states(replay) == {erased_person.entity_id: "skipped: succeeded"}
    assert run_erasure(confirmed_erasure(erased_person))
    replay.refresh_from_db()
    assert (replay.reason, find_in_tables([erased_person])) == (REDACTED_TEXT, set())


def test_ids_are_replaced_wherever_people_write(by: User, event: Event) -> None:
    words = f"because of {GONE.entity_id.upper()}."
    facts: dict[str, Any] = {"first_at": timezone.now(), "last_at": timezone.now()}
    group = FailureGroup.objects.create(
        connection=Connection.objects.first(), note=words, known_fix=words, **facts
    )
    FailureDecision.objects.create(
        group=group, made_by=by, state="resolved", reason=words, made_at=timezone.now()
    )
    assert all(pause_flow(flow, words, by) for flow in (Source.objects.first(), Route.objects.first()))
    left = find_in_tables([GONE])
    columns = {"sync_failuregroup.note", "sync_failuregroup.known_fix", "sync_failuredecision.reason"}
    assert columns | {"webhooks_source.pause_reason", "sync_route.pause_reason"} <= left
    erased()
    group.refresh_from_db()
    assert group.note.startswith("because of ~")


@pytest.mark.submission
@pytest.mark.parametrize("entity_id", ["42", "px:9@x"])
def test_no_saved_view_names_an_erased_person(by: User, entity_id: str) -> None:
    erased_person = InventedPerson(entity_id, "Qvist", "zx@example.com")
    store_people([erased_person])
    kept = urlencode({"entity_id": f"10{entity_id}", "q": f"{entity_id}7"})
    queries = {
        entity_id: urlencode({"entity_id": entity_id, "state": "dead"}),
        f"{entity_id.upper()} again": urlencode({"q": f" {entity_id}"}),
        f"10{entity_id}": kept,
    }
    views = [SavedView.objects.create(person=by, name=name, query=query) for name, query in queries.items()]
    erasure = confirmed_erasure(erased_person)
    assert run_erasure(erasure)
    assert erasure.counts["views"] == 2
    for view in views:
        view.refresh_from_db()
    [first, second, other] = views
    filtered = dict(parse_qsl(first.query))
    assert (filtered["state"], is_erased(filtered["entity_id"])) == ("dead", True)
    assert is_erased(dict(parse_qsl(second.query))["q"])
    assert entity_id not in first.name.removesuffix(str(first.pk)) + second.name.removesuffix(str(second.pk))
    assert (other.name, other.query) == (f"10{entity_id}", kept)
