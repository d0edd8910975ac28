"""A paused source: what it sends is kept and answered 202, nothing goes out, and it goes on at a pace."""

import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from sync import pausing
from sync.clock import database_now
from sync.models import Attempt, Delivery
from sync.pausing import held_of, hold_waiting, look_at_pauses, pause, resume
from tests.hub import EXAMPLE, Hub
from webhooks.models import Event, Source, State


@pytest.fixture
def aurora(hub: Hub) -> Iterator[Source]:
    yield Source.objects.get(slug="aurora")
    hub.shop.faults.clear()
    Source.objects.update(paused_at=None, resumed_at=timezone.now())
    while look_at_pauses() or Delivery.objects.filter(due_at=None, state=State.PENDING).exists():
        pass
    call_command("deliver_due")


def go_on() -> None:
    look_at_pauses()
    call_command("deliver_due")


def test_what_a_paused_source_sends_is_kept_answered_202_at_once_and_not_delivered(
    hub: Hub, aurora: Source
) -> None:
    pause(aurora, "the shop moves")
    hub.change_email("anna.paused@example.com")
    started = time.monotonic()
    answer = hub.post_signed(EXAMPLE)
    assert time.monotonic() - started < 5, "nobody waits for what is kept"
    assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
    go_on()
    assert not hub.shop.journal()
    assert not Attempt.objects.exists()
    assert Event.objects.get().state == State.PENDING
    assert held_of(aurora, 100) == 1


def test_after_resuming_it_is_delivered_and_its_age_counts_from_then(hub: Hub, aurora: Source) -> None:
    pause(aurora, "the shop moves")
    address = hub.change_email("anna.later@example.com")
    hub.post_signed(EXAMPLE)
    long_ago = timezone.now() - timedelta(days=30)
    Delivery.objects.update(opened_at=long_ago)
    hub.shop.faults.add("error", status=503)
    assert resume(aurora)
    go_on()
    assert Delivery.objects.get().state == State.RETRYING, "it is not too old to be tried again"
    hub.shop.faults.clear()
    Delivery.objects.update(due_at=database_now())
    go_on()
    assert hub.customer()["email"] == address


def test_another_source_goes_on_meanwhile(hub: Hub, aurora: Source) -> None:
    pause(aurora, "the shop moves")
    address = hub.change_email("anna.other@example.com")
    assert hub.post(EXAMPLE).json()["status"] == "succeeded"
    assert hub.customer()["email"] == address


def test_what_waited_for_its_next_try_is_held_too(hub: Hub, aurora: Source) -> None:
    hub.shop.faults.add("error", status=503)
    hub.change_email("anna.retry@example.com")
    hub.post_signed(EXAMPLE)
    assert Delivery.objects.get().state == State.RETRYING
    pause(aurora, "the shop moves")
    assert hold_waiting() == 1
    hub.shop.faults.clear()
    go_on()
    assert not hub.writes() or hub.customer()["email"] != "anna.retry@example.com"
    assert Delivery.objects.get().due_at is None


def test_what_a_process_opened_that_did_not_know_of_the_pause_is_held_before_it_is_due(
    hub: Hub, aurora: Source
) -> None:
    hub.shop.faults.add("error", status=503)
    hub.change_email("anna.race@example.com")
    hub.post_signed(EXAMPLE)
    pause(aurora, "the shop moves")
    Delivery.objects.update(due_at=database_now())
    look_at_pauses()
    assert Delivery.objects.get().due_at is None


def test_a_repeated_webhook_of_a_paused_source_does_not_go_out(hub: Hub, aurora: Source) -> None:
    pause(aurora, "the shop moves")
    hub.change_email("anna.twice@example.com")
    started = time.monotonic()
    for _ in range(2):
        assert hub.post_signed(EXAMPLE, "msg_twice").status_code == 202
    assert time.monotonic() - started < 5
    go_on()
    assert not hub.shop.journal()
    assert Event.objects.count() == 1


def test_what_waits_is_released_bit_by_bit_oldest_first(
    hub: Hub, aurora: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pausing, "AT_ONCE", 2)
    pause(aurora, "the shop moves")
    for number in range(5):
        hub.post_signed({"id": f"GONE{number}", "entityType": "USER", "eventType": "UPDATE"})
    assert held_of(aurora, 100) == 5
    assert held_of(aurora, 3) == 3, "counted within bounds"
    resume(aurora)
    left = []
    for _ in range(3):
        look_at_pauses()
        left.append(sorted(Delivery.objects.filter(due_at=None).values_list("entity_id", flat=True)))
    assert left == [["GONE2", "GONE3", "GONE4"], ["GONE4"], []]


def test_one_that_was_stored_just_after_the_end_of_a_pause_is_released_as_well(
    hub: Hub, aurora: Source
) -> None:
    pause(aurora, "the shop moves")
    resume(aurora)
    look_at_pauses()
    Source.objects.filter(pk=aurora.pk).update(paused_at=timezone.now())
    hub.post_signed(EXAMPLE)
    Source.objects.filter(pk=aurora.pk).update(paused_at=None)
    assert held_of(aurora, 10) == 1
    look_at_pauses()
    assert held_of(aurora, 10) == 0
    Source.objects.update(resumed_at=timezone.now() - timedelta(minutes=1))
    call_command("deliver_due")
    look_at_pauses()
    assert Source.objects.get(pk=aurora.pk).resumed_at is None


def test_pausing_twice_keeps_the_first_reason_and_resuming_twice_does_nothing(aurora: Source) -> None:
    assert pause(aurora, "the shop moves")
    assert not pause(aurora, "again")
    assert Source.objects.get(pk=aurora.pk).pause_reason == "the shop moves"
    assert resume(aurora)
    assert not resume(aurora)


def test_without_pauses_looking_costs_two_small_statements(
    hub: Hub, aurora: Source, django_assert_num_queries: object
) -> None:
    with django_assert_num_queries(2):  # type: ignore[operator]
        look_at_pauses()
