"""Tests that the row checks find an event to which SQL gave the pseudonym of another entity's erasure."""

from pathlib import Path

import pytest
from django.utils import timezone

from exports.bundle.shipped import check_rows
from exports.row_checks.nightly_rows import find_row_faults
from sync.erasure.erase import run_erasure
from sync.models import Attempt, Call, Delivery
from tests.support.builders.erasure import confirmed_erasure, invented_person, receive_people
from tests.support.builders.exports import a_finished_export, unpack_export
from tests.support.hub import Hub
from webhooks.models import Event, Payload, SubjectKey


def exported_faults(tmp_path: Path, words: dict[str, str]) -> list[str]:
    folder = unpack_export(a_finished_export(words), tmp_path)
    return check_rows.RowChecker(str(folder)).check_export()


def disguise(event: Event, name: str) -> None:
    """Change an event by SQL so that it looks as if it were of the erased entity with this pseudonym."""
    if event.payload is not None:
        Payload.objects.filter(subject=event.payload.subject).delete()
    attempts = Attempt.objects.filter(delivery__event=event)
    Call.objects.filter(attempt__in=attempts).update(key="")
    attempts.update(record_id="")
    Delivery.objects.filter(event=event).update(entity_id=name)
    Event.objects.filter(pk=event.pk).update(entity_id=name, event_id=None, digest=b"")


@pytest.mark.submission
@pytest.mark.parametrize("words", [{}, {"entity_type": "USER"}])
def test_an_event_with_the_pseudonym_of_another_erasure_is_found(
    hub: Hub, tmp_path: Path, words: dict[str, str]
) -> None:
    first, second = receive_people(hub, map(invented_person, range(2)))
    assert run_erasure(confirmed_erasure(first))
    assert list(find_row_faults()) == []
    disguise(
        Event.objects.get(entity_id=second.entity_id), Event.objects.get(entity_id__startswith="~").entity_id
    )
    found = [*find_row_faults(), *exported_faults(tmp_path, words)]
    assert len(found) == 2
    assert all("is a pseudonym, but no entry says that the event was erased" in fault for fault in found)


@pytest.mark.submission
def test_exchanged_pseudonyms_of_two_erasures_are_found(hub: Hub, tmp_path: Path) -> None:
    people = receive_people(hub, map(invented_person, range(2)))
    assert all(run_erasure(confirmed_erasure(one)) for one in people)
    assert list(find_row_faults()) == []
    events = list(Event.objects.order_by("pk"))
    for event, other in zip(events, reversed(events), strict=True):
        disguise(event, other.entity_id)
    found = [*find_row_faults(), *exported_faults(tmp_path, {})]
    assert len(found) == 4
    assert all("is the pseudonym of another erasure than that of the event" in fault for fault in found)


def test_an_erasure_that_was_undone_from_a_copy_is_found(hub: Hub, tmp_path: Path) -> None:
    (one,) = receive_people(hub, [invented_person(0)])
    before = Event.objects.values("entity_id", "event_id", "digest").get()
    assert run_erasure(confirmed_erasure(one))
    assert list(find_row_faults()) == []
    Event.objects.update(**before)
    Delivery.objects.update(entity_id=before["entity_id"])
    faults = [*find_row_faults(), *exported_faults(tmp_path, {})]
    assert [fault for fault in faults if "is no pseudonym, but the event was erased" in fault]


@pytest.mark.submission
def test_a_key_that_was_destroyed_without_an_erasure_is_found(hub: Hub) -> None:
    first, second = receive_people(hub, map(invented_person, range(2)))
    assert run_erasure(confirmed_erasure(first))
    assert list(find_row_faults()) == []
    key = Event.objects.get(entity_id=second.entity_id).payload.subject  # type: ignore[union-attr]
    SubjectKey.objects.filter(pk=key.pk).update(wrapped=None, destroyed_at=timezone.now())  # type: ignore[union-attr]
    [fault] = find_row_faults()
    assert fault.startswith("[erasure-unrecorded] subject keys with id ")
