"""The progress of a bulk replay: with a pace, after new deliveries, paused after failures, and shown."""

from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from audit.entries.acting_person import ActingPerson
from sync.execution.executor import run_due_deliveries
from sync.housekeeping.retention_rules import prune_expired
from sync.models import (
    Attempt,
    Breaker,
    Delivery,
    PersonRequest,
    PersonRequestMember,
    PersonRequestState,
    ReplayPace,
    ReplayPauseReason,
    Route,
)
from sync.replays import batches
from sync.replays.decisions import pause_replay, resume_replay, stop_replay
from sync.replays.event_selection import select_events
from sync.replays.replay_progress import _pause_reason
from tests.support.builders.bulk_replays import (
    REASON,
    create_person,
    fail_customers,
    fail_events,
    freeze_event_set,
    member_states,
    record_all_results,
    send_all_due,
    send_webhook,
    staff_user,
    start_bulk_replay,
    work_replay,
)
from tests.support.hub import ANNA, Hub
from tests.support.jobs import run_jobs
from tests.support.people import entries
from webhooks.models import Event, State


@pytest.mark.promise("I4")
def test_many_events_are_replayed_once_each_with_person_and_reason(hub: Hub, hurry: None) -> None:
    fail_customers(hub, 3)
    hub.change_email("taken@example.com", "PERSON2")
    replay = work_replay(start_bulk_replay(staff_user()))
    assert member_states(replay) == {
        "PERSON0": "succeeded",
        "PERSON1": "succeeded",
        "PERSON2": "failed: target-rejected",
    }
    assert (replay.total, replay.events, replay.succeeded, replay.failed) == (3, 3, 2, 1)
    assert (replay.in_progress_count, replay.waiting_count, replay.reason) == (0, 0, REASON)
    attempts = Attempt.objects.filter(person_request=replay)
    assert sorted(attempts.values_list("delivery", flat=True)) == sorted(
        Delivery.objects.values_list("pk", flat=True)
    )
    assert len(hub.writes()) == 3 + 3  # each was refused once before
    [begun], [done] = entries("replay.started"), entries("replay.finished")
    assert begun["actor"] == f"person:{replay.requested_by_id}"
    assert begun["details"] == {
        "of": 3,
        "sent": 3,
        "pace": "normal",
        "filter": {"state": "dead"},
        "limit": 500,
        "address": "192.0.2.5",
    }
    assert done["details"] == {"total": 3, "skipped": 0, "succeeded": 2, "failed": 1, "held": 0}
    assert len(entries("event.replayed")) == 3


@pytest.mark.submission
def test_skip_rules_are_checked_again_before_sending(hub: Hub, hurry: None) -> None:
    fail_customers(hub, 3)
    replay = freeze_event_set(staff_user())
    assert replay.skipped == 0
    hub.change_email("newer@example.com", "PERSON1")
    send_webhook(hub, "PERSON1")
    Route.objects.update(is_enabled=False)
    Delivery.objects.filter(entity_id="PERSON2").update(state=State.SUCCEEDED, settled_at=timezone.now())
    work_replay(start_bulk_replay(replay.requested_by, replay))
    assert member_states(replay) == {
        "PERSON0": "succeeded",
        "PERSON1": "skipped: newer",
        "PERSON2": "skipped: succeeded",
    }
    assert (
        (replay.skipped, replay.events)
        == (2, 1)
        == (
            PersonRequestMember.objects.filter(person_request=replay, state="skipped").count(),
            Attempt.objects.filter(person_request=replay).count(),
        )
    )


@pytest.mark.submission
def test_events_of_one_entity_are_sent_in_their_order(hub: Hub, hurry: None) -> None:
    events = fail_events(hub, ANNA, create_person(hub, "OTHER"), ANNA, ANNA)
    replay = work_replay(start_bulk_replay(staff_user()))
    attempts = Attempt.objects.filter(person_request=replay, delivery__entity_id=ANNA).order_by(
        "started_at", "pk"
    )
    assert [attempt.delivery.event_id for attempt in attempts] == [
        event.pk for event in events if event.entity_id == ANNA
    ]


@pytest.mark.submission
def test_an_event_without_a_delivery_uses_the_current_route(hub: Hub, hurry: None) -> None:
    Route.objects.update(is_enabled=False)
    event = send_webhook(hub, create_person(hub, "ROUTED"))
    Route.objects.update(is_enabled=True)
    by = staff_user()
    replay = work_replay(start_bulk_replay(by, select_events(by, [event.pk])))
    assert member_states(replay) == {"ROUTED": "succeeded"}


@pytest.mark.nightly
def test_the_pace_holds_however_often_workers_poll(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_customers(hub, 12)
    monkeypatch.setattr("sync.replays.batches.defer_to_workers", lambda _: None)
    monkeypatch.setitem(batches.EVENTS_PER_MINUTE, ReplayPace.GENTLE, 30)  # one in two seconds
    monkeypatch.setattr(batches, "WINDOW_SECONDS", 60.0)
    replay = start_bulk_replay(staff_user(), pace=ReplayPace.GENTLE)
    sent = []
    for seconds in (0.0, 0.1, 0.1, 2.0, 2.0, 0.1, 4.0):
        type(replay).objects.update(due_at=F("due_at") - timedelta(seconds=seconds))
        send_all_due()
        replay.refresh_from_db()
        sent.append(replay.events)
    assert sent == [1, 1, 1, 2, 3, 3, 5]
    run_due_deliveries(100)


@pytest.mark.pure
def test_after_a_long_pause_events_are_not_sent_all_at_once() -> None:
    now = timezone.now()
    replay = PersonRequest(pace=ReplayPace.GENTLE, due_at=now - timedelta(hours=1))
    assert batches._count_sendable(replay, now) == 11


@pytest.mark.submission
def test_new_deliveries_run_before_replays(hub: Hub, hurry: None) -> None:
    fail_customers(hub, 3)
    waits = send_webhook(hub, create_person(hub, "FRESH"))
    hub.wait_until_quiet()  # a thread that has just answered looks for what is next
    Delivery.objects.filter(event=waits).update(
        state=State.PENDING, due_at=timezone.now() - timedelta(seconds=5), settled_at=None
    )
    replay = start_bulk_replay(staff_user())
    run_jobs("replay")
    replay.refresh_from_db()
    assert replay.events == 0
    assert run_due_deliveries() == 1
    assert work_replay(replay).succeeded == 3


def test_a_bounded_number_of_events_of_a_replay_run_at_once(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_customers(hub, 9)
    monkeypatch.setattr("sync.replays.batches.defer_to_workers", lambda _: None)
    monkeypatch.setattr(batches, "WINDOW_SECONDS", 0.8)  # four
    replay = start_bulk_replay(staff_user(), pace=ReplayPace.GENTLE)
    for _ in range(4):
        type(replay).objects.update(due_at=timezone.now() - timedelta(seconds=2))
        send_all_due()
    replay.refresh_from_db()
    assert replay.events == replay.in_progress_count == 4
    assert run_due_deliveries(100) == 4


@pytest.mark.submission
def test_a_replay_pauses_after_the_first_event_if_requested(hub: Hub, hurry: None) -> None:
    fail_customers(hub, 4)
    by = staff_user()
    replay = work_replay(start_bulk_replay(by, pace=ReplayPace.FIRST), PersonRequestState.PAUSED)
    run_jobs("replay")
    assert (replay.events, replay.succeeded, replay.pause_reason) == (1, 1, ReplayPauseReason.FIRST)
    assert Attempt.objects.filter(person_request=replay).count() == 1
    assert resume_replay(replay, ActingPerson(by), ReplayPace.NORMAL)
    assert work_replay(replay).succeeded == 4


@pytest.mark.nightly
def test_a_replay_pauses_after_too_many_failures_and_counts_from_zero_when_resumed(
    hub: Hub, hurry: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_customers(hub, 20)
    monkeypatch.setattr(batches, "WINDOW_SECONDS", 0.006)  # six at once
    hub.shop.faults.add("refuse")
    by = staff_user()
    replay = work_replay(start_bulk_replay(by), PersonRequestState.PAUSED)
    assert replay.pause_reason == ReplayPauseReason.FAILING
    assert 5 <= replay.failed <= 12
    [pause] = entries("replay.paused")
    assert (pause["actor"], pause["details"]["why"]) == ("system", "failing")
    hub.wait_until_idle()
    run_jobs("replay")
    replay.refresh_from_db()
    assert replay.in_progress_count == 0
    before = replay.failed
    hub.shop.faults.clear()
    assert resume_replay(replay, ActingPerson(by), ReplayPace.NORMAL)
    replay = work_replay(replay)
    assert (replay.failed, replay.succeeded) == (before, 20 - before)


@pytest.mark.pure
def test_more_than_a_fifth_of_at_least_five_failures_pauses_a_replay() -> None:
    def reason(succeeded: int, failed: int) -> ReplayPauseReason | None:
        replay = PersonRequest(
            pace=ReplayPace.NORMAL,
            pauses_above=20,
            succeeded=succeeded,
            failed=failed,
            first_failures=failed,
        )
        return _pause_reason(replay)

    failing = ReplayPauseReason.FAILING
    assert [reason(0, 4), reason(4, 1), reason(8, 2), reason(7, 2), reason(0, 5)] == [
        None,
        None,
        None,
        failing,
        failing,
    ]


@pytest.mark.submission
def test_a_replay_paused_by_a_person_sends_nothing(hub: Hub) -> None:
    fail_customers(hub, 3)
    by = staff_user()
    replay = start_bulk_replay(by, pace=ReplayPace.GENTLE)
    assert pause_replay(replay, ActingPerson(by))
    type(replay).objects.update(due_at=timezone.now() - timedelta(seconds=9))
    run_jobs("replay")
    replay.refresh_from_db()
    assert (replay.state, replay.events, replay.paused_by) == (PersonRequestState.PAUSED, 0, by)
    assert not pause_replay(replay, ActingPerson(by))


@pytest.mark.submission
def test_a_stopped_replay_ends_with_the_sent_events(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_customers(hub, 3)
    by = staff_user()
    replay = start_bulk_replay(by, pace=ReplayPace.GENTLE)
    monkeypatch.setattr("sync.replays.batches.defer_to_workers", lambda _: None)
    run_jobs("replay")
    assert stop_replay(replay, ActingPerson(by))
    run_jobs("replay")
    replay.refresh_from_db()
    assert (replay.state, replay.events, replay.in_progress_count) == (PersonRequestState.STOPPING, 1, 1)
    assert run_due_deliveries() == 1
    replay = work_replay(replay, PersonRequestState.STOPPED)
    assert (replay.succeeded, replay.waiting_count) == (1, 2)
    assert run_due_deliveries() == 0
    assert not stop_replay(replay, ActingPerson(by))


@pytest.mark.submission
def test_held_deliveries_count_neither_as_success_nor_as_failure(hub: Hub, hurry: None) -> None:
    Route.objects.update(max_removals=0)
    user = create_person(hub, "LEAVER")
    send_webhook(hub, user)
    fail_events(hub, user)
    Event.objects.update(event_type="DELETE")
    hub.identity.directory.delete_record("users", user)
    replay = work_replay(start_bulk_replay(staff_user()))
    assert member_states(replay) == {"LEAVER": "held: held"}
    assert (replay.held, replay.failed) == (1, 0)


@pytest.mark.submission
def test_a_replay_ends_although_retention_deleted_some_of_its_events(hub: Hub, hurry: None) -> None:
    fail_customers(hub, 3)
    by = staff_user()
    replay = start_bulk_replay(by)
    pause_replay(replay, ActingPerson(by))
    Event.objects.filter(entity_id="PERSON0").update(received_at=timezone.now() - timedelta(days=4000))
    prune_expired()
    assert Event.objects.count() == 2
    resume_replay(replay, ActingPerson(by), ReplayPace.NORMAL)
    assert work_replay(replay).succeeded == 2


def wait_for_retry(seconds: int, delivery: Delivery, **values: object) -> None:
    """Let a delivery wait for a retry that is due since then; a negative time is still to come."""
    at = timezone.now() - timedelta(seconds=seconds)
    Delivery.objects.filter(pk=delivery.pk).update(state=State.RETRYING, settled_at=None, due_at=at, **values)


def settled_delivery(hub: Hub, user: str) -> Delivery:
    """Return the settled delivery of a webhook about a user."""
    delivery = send_webhook(hub, user).deliveries.get()
    hub.wait_until_quiet()  # a thread that has just answered looks for what is next
    return delivery


@pytest.mark.submission
def test_a_paused_replay_does_not_block_a_later_one(hub: Hub, hurry: None) -> None:
    first, second = fail_customers(hub, 2)
    by = staff_user()
    left = start_bulk_replay(by, select_events(by, [first.pk]))
    assert pause_replay(left, ActingPerson(by))
    later = start_bulk_replay(by, select_events(by, [second.pk]))
    assert send_all_due() == 1
    hub.wait_until_idle()
    assert record_all_results() == 1
    later.refresh_from_db()
    assert (later.state, later.succeeded) == (PersonRequestState.FINISHED, 1)


@pytest.mark.submission
def test_a_relayed_event_behind_a_retried_one_does_not_block_a_replay(hub: Hub, hurry: None) -> None:
    events = fail_customers(hub, 2)
    user = create_person(hub, "FRESH")
    older, newer = settled_delivery(hub, user), settled_delivery(hub, user)
    wait_for_retry(-2400, older, is_relayed=True)
    wait_for_retry(5, newer, is_relayed=True)
    replay = start_bulk_replay(staff_user())
    assert send_all_due() == len(events)
    assert work_replay(replay).succeeded == 2


@pytest.mark.submission
def test_events_for_a_paused_system_do_not_block_a_replay(hub: Hub, hurry: None) -> None:
    fail_customers(hub, 1)
    fresh = settled_delivery(hub, create_person(hub, "FRESH"))
    wait_for_retry(5, fresh)
    Breaker.objects.create(connection=fresh.identity, open_until=timezone.now() + timedelta(minutes=10))
    start_bulk_replay(staff_user())
    assert send_all_due() == 1
    hub.wait_until_quiet()
