"""Workers that erase at the same time: whoever comes to a row that somebody else has ended leaves it alone."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from console.events import saved_views
from sync.erasure import erase as erasure_erase
from sync.erasure.erase import run_erasure
from sync.jobs.running_job import RunningJob
from sync.models import Erasure, Link
from tests.support.builders.erasure import (
    Somebody,
    come_by_webhook,
    confirmed,
    erase_confirmed,
    in_the_middle_of_an_erasure,
    somebody,
)
from tests.support.hub import Hub
from tests.support.jobs import end_leases
from tests.support.people import entries
from webhooks.models import Event, Payload, SubjectKey


def come_again(hub: Hub, people: list[Somebody]) -> None:
    for each in people:
        assert hub.post_signed(each.body, f"again-{each.entity_id}").status_code == 200
    hub.wait_until_quiet()


def test_who_came_again_is_not_erased_by_a_worker_that_read_the_list_before(hub: Hub, settings: Any) -> None:
    people = come_by_webhook(hub, [somebody(1), somebody(2)])
    for each in people:
        confirmed(each)
    told: dict[int, Any] = {}

    def erase_all() -> None:
        assert erase_confirmed() == 2
        told.update(Erasure.objects.order_by("pk").values_list("pk", "counts"))

    def another_worker() -> None:
        end_leases()
        erase_all()
        come_again(hub, people)

    in_the_middle_of_an_erasure(settings, another_worker)
    erase_confirmed()
    assert [counts["events"] for counts in told.values()] == [1, 1]
    assert all(counts["payloads"] for counts in told.values()), "the other's sweep left them to be counted"
    assert dict(Erasure.objects.values_list("pk", "counts")) == told
    assert [each["details"]["counts"] for each in entries("subject.erased")] == list(told.values())
    assert SubjectKey.objects.filter(destroyed_at=None).count() == Link.objects.count() == 2
    assert {each.entity_id for each in people} <= set(Event.objects.values_list("entity_id", flat=True))


def test_what_an_attempt_stored_after_the_key_was_gone_is_swept_up_for_two_days(hub: Hub) -> None:
    people = come_by_webhook(hub, [somebody(1), somebody(2)])
    long_ago, lately = SubjectKey.objects.order_by("pk")
    for each in people:
        assert run_erasure(confirmed(each))
    for key, hours in ((long_ago, 49), (lately, 47)):
        Payload.of("answer", b"said too late", key).save()
        SubjectKey.objects.filter(pk=key.pk).update(destroyed_at=timezone.now() - timedelta(hours=hours))
    assert erase_confirmed() == 0
    assert list(Payload.objects.values_list("subject", flat=True)) == [long_ago.pk]


def test_a_stale_row_of_an_erasure_erases_nothing(hub: Hub) -> None:
    people = come_by_webhook(hub, [somebody(1)])
    asked = confirmed(people[0])
    stale = Erasure.objects.get(pk=asked.pk)
    assert run_erasure(asked)
    come_again(hub, people)
    assert run_erasure(stale)
    assert stale.counts == asked.counts
    assert SubjectKey.objects.filter(destroyed_at=None).count() == Link.objects.count() == 1
    assert Event.objects.filter(entity_id=people[0].entity_id).count() == 1


def test_what_two_workers_erase_together_is_counted_once_and_whole(
    hub: Hub, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = come_by_webhook(hub, [somebody(1)])
    for _ in range(3):
        hub.post_signed(people[0].body)
    hub.wait_until_quiet()
    monkeypatch.setattr(erasure_erase, "EVENT_BATCH_SIZE", 1)
    asked = confirmed(people[0])

    def another_worker() -> None:
        end_leases()
        with monkeypatch.context() as dying:
            dying.setattr(erasure_erase, "PAUSE_SECONDS", "an error")
            assert erase_confirmed() == 0

    in_the_middle_of_an_erasure(settings, another_worker)
    assert not run_erasure(asked), "the other one took it over"
    assert erase_confirmed() == 1
    [told] = entries("subject.erased")
    assert told["details"]["counts"] == Erasure.objects.get().counts
    assert told["details"]["counts"]["events"] == 4


@pytest.mark.parametrize("is_careless", [False, True])
def test_who_came_again_is_forgotten_nowhere_else_once_another_worker_has_ended_it(
    hub: Hub, settings: Any, monkeypatch: pytest.MonkeyPatch, is_careless: bool
) -> None:
    """Exports and saved views of the person who came again are not of the one who was erased."""
    people = come_by_webhook(hub, [somebody(1)])
    asked = confirmed(people[0])
    forgotten: list[str] = []
    monkeypatch.setattr(
        saved_views, "erase_from_saved_views", lambda entity_id, _: forgotten.append(entity_id) or 0
    )

    def another_worker() -> None:
        end_leases()
        assert erase_confirmed() == 1
        forgotten.clear()

    in_the_middle_of_an_erasure(settings, another_worker)
    if is_careless:
        monkeypatch.setattr(RunningJob, "renew_lease", lambda *_, **__: None)
    assert run_erasure(asked)
    assert bool(forgotten) == is_careless
