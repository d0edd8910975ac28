"""Workers that erase at the same time: rows of an erasure that another worker has ended are not touched."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from console.events import saved_views
from sync.erasure import erase as erasure_erase
from sync.erasure.erase import run_erasure
from sync.models import Erasure, Link
from tests.support.builders.erasure import (
    InventedPerson,
    confirmed_erasure,
    during_next_erasure,
    erase_confirmed,
    invented_person,
    receive_people,
)
from tests.support.hub import Hub
from tests.support.jobs import end_leases
from tests.support.people import entries
from webhooks.models import Event, Payload, SubjectKey

pytestmark = pytest.mark.concurrent


def post_again(hub: Hub, people: list[InventedPerson]) -> None:
    for person in people:
        assert hub.post_signed(person.body, f"again-{person.entity_id}").status_code == 200
    hub.wait_until_quiet()


@pytest.mark.submission
def test_a_person_who_returned_is_not_erased_by_a_worker_with_an_old_list(hub: Hub, settings: Any) -> None:
    people = receive_people(hub, [invented_person(1), invented_person(2)])
    for person in people:
        confirmed_erasure(person)
    erased_counts: dict[int, Any] = {}

    def erase_all() -> None:
        assert erase_confirmed() == 2
        erased_counts.update(Erasure.objects.order_by("pk").values_list("pk", "counts"))

    def another_worker() -> None:
        end_leases()
        erase_all()
        post_again(hub, people)

    during_next_erasure(settings, another_worker)
    erase_confirmed()
    assert [counts["events"] for counts in erased_counts.values()] == [1, 1]
    assert all(counts["payloads"] for counts in erased_counts.values()), (
        "the other's sweep left them to be counted"
    )
    assert dict(Erasure.objects.values_list("pk", "counts")) == erased_counts
    assert [entry["details"]["counts"] for entry in entries("subject.erased")] == list(erased_counts.values())
    assert SubjectKey.objects.filter(destroyed_at=None).count() == Link.objects.count() == 2
    assert {person.entity_id for person in people} <= set(Event.objects.values_list("entity_id", flat=True))


def test_data_stored_after_the_key_was_destroyed_are_deleted_for_two_days(hub: Hub) -> None:
    people = receive_people(hub, [invented_person(1), invented_person(2)])
    long_ago, lately = SubjectKey.objects.order_by("pk")
    for person in people:
        assert run_erasure(confirmed_erasure(person))
    for key, hours in ((long_ago, 49), (lately, 47)):
        Payload.new("answer", b"said too late", key).save()
        SubjectKey.objects.filter(pk=key.pk).update(destroyed_at=timezone.now() - timedelta(hours=hours))
    assert erase_confirmed() == 0
    assert list(Payload.objects.values_list("subject", flat=True)) == [long_ago.pk]


@pytest.mark.submission
def test_an_erasure_by_two_workers_is_counted_once_and_completely(
    hub: Hub, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = receive_people(hub, [invented_person(1)])
    for _ in range(3):
        hub.post_signed(people[0].body)
    hub.wait_until_quiet()
    monkeypatch.setattr(erasure_erase, "EVENT_BATCH_SIZE", 1)
    erasure = confirmed_erasure(people[0])

    def another_worker() -> None:
        end_leases()
        with monkeypatch.context() as dying:
            dying.setattr(erasure_erase, "PAUSE_SECONDS", "an error")
            assert erase_confirmed() == 0

    during_next_erasure(settings, another_worker)
    assert not run_erasure(erasure), "the other one took it over"
    assert erase_confirmed() == 1
    [record] = entries("subject.erased")
    assert record["details"]["counts"] == Erasure.objects.get().counts
    assert record["details"]["counts"]["events"] == 4


@pytest.mark.submission
def test_a_person_who_returned_stays_in_exports_and_views_once_the_erasure_has_ended(
    hub: Hub, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exports and saved views of the returned person do not belong to the erased one."""
    people = receive_people(hub, [invented_person(1)])
    erasure = confirmed_erasure(people[0])
    forgotten: list[str] = []
    monkeypatch.setattr(
        saved_views, "erase_from_saved_views", lambda entity_id, _: forgotten.append(entity_id) or 0
    )

    def another_worker() -> None:
        end_leases()
        assert erase_confirmed() == 1
        forgotten.clear()

    during_next_erasure(settings, another_worker)
    assert run_erasure(erasure)
    assert forgotten == []
