"""A bulk replay is worked off over time: paced, behind what is fresh, paused where it fails, and told as it goes."""

from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from sync.execution.executor import run_due_deliveries
from sync.housekeeping.retention_rules import prune_expired
from sync.models import Attempt, Delivery, Member, ReplayPace, ReplayPauseReason, ReplayState, Route
from sync.replays import batches
from sync.replays.decisions import DecidingPerson, pause_replay, resume_replay, stop_replay
from sync.replays.event_selection import select_events
from tests.support.builders.bulk_replays import (
    WHY,
    a_user,
    failed,
    failed_people,
    frozen,
    send_due,
    staff,
    started,
    states,
    tell,
    work,
)
from tests.support.hub import ANNA, Hub
from tests.support.jobs import run_jobs
from tests.support.people import entries
from webhooks.models import Event, State


def test_many_are_sent_again_once_each_with_who_and_why(hub: Hub, hurry: None) -> None:
    failed_people(hub, 8)
    replay = work(started(staff()))
    assert set(states(replay).values()) == {"succeeded"}
    assert (replay.total, replay.events, replay.succeeded, replay.failed) == (8, 8, 8, 0)
    attempts = Attempt.objects.filter(replay=replay)
    assert sorted(attempts.values_list("delivery", flat=True)) == sorted(
        Delivery.objects.values_list("pk", flat=True)
    )
    assert replay.reason == WHY
    assert not Event.objects.exclude(state__in=["succeeded", "unchanged"]).exists()
    assert len(hub.writes()) == 8 + 8  # each was refused once before
    [begun], [done] = entries("replay.started"), entries("replay.finished")
    assert begun["actor"] == f"person:{replay.requested_by_id}"
    assert begun["details"] == {
        "of": 8,
        "sent": 8,
        "pace": "normal",
        "filter": {"state": "dead"},
        "limit": 500,
        "address": "192.0.2.5",
    }
    assert done["details"] == {"total": 8, "skipped": 0, "succeeded": 8, "failed": 0, "held": 0}
    assert len(entries("event.replayed")) == 8


def test_one_refusal_among_many_is_told_with_its_reason_and_stops_nobody_else(hub: Hub, hurry: None) -> None:
    failed_people(hub, 6)
    hub.change_email("taken@example.com", "PERSON2")
    replay = work(started(staff()))
    assert states(replay) == {
        f"PERSON{number}": "failed: target-rejected" if number == 2 else "succeeded" for number in range(6)
    }
    assert (replay.succeeded, replay.failed, replay.under_way_count, replay.waiting_count) == (5, 1, 0, 0)


def test_what_is_decided_beforehand_is_asked_again_when_it_is_sent(hub: Hub, hurry: None) -> None:
    failed_people(hub, 3)
    replay = frozen(staff())
    assert replay.skipped == 0
    hub.change_email("newer@example.com", "PERSON1")
    tell(hub, "PERSON1")
    Route.objects.update(is_enabled=False)
    Delivery.objects.filter(entity_id="PERSON2").update(state=State.SUCCEEDED, settled_at=timezone.now())
    work(started(replay.requested_by, replay))
    assert states(replay) == {
        "PERSON0": "succeeded",
        "PERSON1": "skipped: newer",
        "PERSON2": "skipped: meanwhile",
    }
    assert (
        (replay.skipped, replay.events)
        == (2, 1)
        == (
            Member.objects.filter(replay=replay, state="skipped").count(),
            Attempt.objects.filter(replay=replay).count(),
        )
    )


def test_events_of_one_entity_are_sent_in_their_order(hub: Hub, hurry: None) -> None:
    events = failed(hub, ANNA, a_user(hub, "OTHER"), ANNA, ANNA)
    replay = work(started(staff()))
    made = Attempt.objects.filter(replay=replay, delivery__entity_id=ANNA).order_by("started_at", "pk")
    assert [each.delivery.event_id for each in made] == [
        event.pk for event in events if event.entity_id == ANNA
    ]


def test_an_event_without_a_delivery_takes_the_route_there_is_now(hub: Hub, hurry: None) -> None:
    Route.objects.update(is_enabled=False)
    event = tell(hub, a_user(hub, "ROUTED"))
    Route.objects.update(is_enabled=True)
    by = staff()
    replay = work(started(by, select_events(by, [event.pk])))
    assert states(replay) == {"ROUTED": "succeeded"}


def test_the_pace_holds_however_often_workers_look(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    failed_people(hub, 12)
    monkeypatch.setattr("sync.replays.batches.defer_to_workers", lambda _: None)
    monkeypatch.setitem(batches.EVENTS_PER_MINUTE, ReplayPace.GENTLE, 30)  # one in two seconds
    monkeypatch.setattr(batches, "WINDOW_SECONDS", 60.0)
    replay = started(staff(), pace=ReplayPace.GENTLE)
    sent = []
    for seconds in (0.0, 0.1, 0.1, 2.0, 2.0, 0.1, 4.0):
        type(replay).objects.update(due_at=F("due_at") - timedelta(seconds=seconds))
        send_due()
        replay.refresh_from_db()
        sent.append(replay.events)
    assert sent == [1, 1, 1, 2, 3, 3, 5]
    monkeypatch.setitem(batches.EVENTS_PER_MINUTE, ReplayPace.GENTLE, 300)
    type(replay).objects.update(due_at=timezone.now() - timedelta(seconds=2))
    send_due()
    assert run_due_deliveries(100) == 12


def test_after_a_long_pause_no_herd_is_sent(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    failed_people(hub, 15)
    monkeypatch.setattr("sync.replays.batches.defer_to_workers", lambda _: None)
    replay = started(staff(), pace=ReplayPace.GENTLE)
    type(replay).objects.update(due_at=timezone.now() - timedelta(hours=1))
    assert send_due() == 11
    run_due_deliveries(100)


def test_replays_stand_behind_what_is_fresh(hub: Hub, hurry: None) -> None:
    failed_people(hub, 3)
    waits = tell(hub, a_user(hub, "FRESH"))
    hub.wait_until_quiet()  # a thread that has just answered looks for what is next
    Delivery.objects.filter(event=waits).update(
        state=State.PENDING, due_at=timezone.now() - timedelta(seconds=5), settled_at=None
    )
    replay = started(staff())
    run_jobs("replay")
    replay.refresh_from_db()
    assert replay.events == 0
    assert run_due_deliveries() == 1
    assert work(replay).succeeded == 3


def test_what_waits_for_another_system_holds_no_replay_up(hub: Hub, hurry: None) -> None:
    failed_people(hub, 2)
    delivery = tell(hub, a_user(hub, "FRESH")).deliveries.get()
    elsewhere = delivery.commercial
    elsewhere.pk, elsewhere.slug, elsewhere._state.adding = None, "elsewhere", True
    elsewhere.is_enabled = False
    elsewhere.save()
    hub.wait_until_quiet()  # a thread that has just answered looks for what is next
    Delivery.objects.filter(pk=delivery.pk).update(
        state=State.RETRYING, due_at=timezone.now() - timedelta(seconds=5), commercial=elsewhere
    )
    assert work(started(staff())).succeeded == 2


def test_only_some_of_a_replay_are_under_way_at_once(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    failed_people(hub, 9)
    monkeypatch.setattr("sync.replays.batches.defer_to_workers", lambda _: None)
    monkeypatch.setattr(batches, "WINDOW_SECONDS", 0.8)  # four
    replay = started(staff(), pace=ReplayPace.GENTLE)
    for _ in range(4):
        type(replay).objects.update(due_at=timezone.now() - timedelta(seconds=2))
        send_due()
    replay.refresh_from_db()
    assert replay.events == replay.under_way_count == 4
    assert run_due_deliveries(100) == 4


def test_one_first_then_ask_me(hub: Hub, hurry: None) -> None:
    failed_people(hub, 4)
    by = staff()
    replay = work(started(by, pace=ReplayPace.FIRST), ReplayState.PAUSED)
    run_jobs("replay")
    assert (replay.events, replay.succeeded, replay.paused) == (1, 1, ReplayPauseReason.FIRST)
    assert Attempt.objects.filter(replay=replay).count() == 1
    assert resume_replay(replay, DecidingPerson(by), ReplayPace.NORMAL)
    assert work(replay).succeeded == 4


def test_it_pauses_where_too_many_fail_again_and_counts_anew_when_it_goes_on(
    hub: Hub, hurry: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed_people(hub, 20)
    monkeypatch.setattr(batches, "WINDOW_SECONDS", 0.006)  # six at once
    hub.shop.faults.add("refuse")
    by, replay = staff(), frozen(staff("liisa"))
    replay = work(started(replay.requested_by, replay), ReplayState.PAUSED)
    assert replay.paused == ReplayPauseReason.FAILING
    assert 5 <= replay.failed <= 12
    [told] = entries("replay.paused")
    assert (told["actor"], told["details"]["why"]) == ("system", "failing")
    hub.wait_until_idle()
    run_jobs("replay")
    replay.refresh_from_db()
    assert replay.under_way_count == 0
    before = replay.failed
    hub.shop.faults.clear()
    assert resume_replay(replay, DecidingPerson(by), ReplayPace.NORMAL)
    replay = work(replay)
    assert (replay.failed, replay.succeeded) == (before, 20 - before)


def test_it_never_pauses_by_itself_where_nobody_wants_that(hub: Hub, hurry: None) -> None:
    failed_people(hub, 8)
    hub.shop.faults.add("refuse")
    assert work(started(staff(), pauses_automatically=False)).failed == 8


def test_a_fifth_of_failures_is_not_too_many(hub: Hub, hurry: None, monkeypatch: pytest.MonkeyPatch) -> None:
    failed_people(hub, 10)
    monkeypatch.setattr(batches, "WINDOW_SECONDS", 0.001)  # one after the other
    for number in (8, 9):
        hub.change_email("taken@example.com", f"PERSON{number}")
    replay = work(started(staff()), ReplayState.FINISHED, ReplayState.PAUSED)
    assert (replay.state, replay.failed) == (ReplayState.FINISHED, 2)


def test_paused_by_a_person_nothing_more_is_sent(hub: Hub) -> None:
    failed_people(hub, 3)
    by = staff()
    replay = started(by, pace=ReplayPace.GENTLE)
    assert pause_replay(replay, DecidingPerson(by))
    type(replay).objects.update(due_at=timezone.now() - timedelta(seconds=9))
    run_jobs("replay")
    replay.refresh_from_db()
    assert (replay.state, replay.events, replay.paused_by) == (ReplayState.PAUSED, 0, by)
    assert not pause_replay(replay, DecidingPerson(by))


def test_stopped_it_ends_with_what_was_sent(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    failed_people(hub, 3)
    by = staff()
    replay = started(by, pace=ReplayPace.GENTLE)
    monkeypatch.setattr("sync.replays.batches.defer_to_workers", lambda _: None)
    run_jobs("replay")
    assert stop_replay(replay, DecidingPerson(by))
    run_jobs("replay")
    replay.refresh_from_db()
    assert (replay.state, replay.events, replay.under_way_count) == (ReplayState.STOPPING, 1, 1)
    assert run_due_deliveries() == 1
    replay = work(replay, ReplayState.STOPPED)
    assert (replay.succeeded, replay.waiting_count) == (1, 2)
    assert run_due_deliveries() == 0
    assert not stop_replay(replay, DecidingPerson(by))


def test_a_failure_that_the_hub_tries_again_counts_as_failed_again(hub: Hub, hurry: None) -> None:
    failed_people(hub, 2)
    hub.shop.faults.add("error", status=503)
    replay = work(started(staff()))
    assert set(states(replay).values()) == {"failed: target-unavailable"}
    assert Delivery.objects.filter(state=State.RETRYING).count() == 2


def test_what_the_guard_holds_is_neither_good_nor_bad(hub: Hub, hurry: None) -> None:
    Route.objects.update(most_removals=0)
    user = a_user(hub, "LEAVER")
    tell(hub, user)
    failed(hub, user)
    hub.identity.directory.delete_record("users", user)
    replay = work(started(staff()))
    assert states(replay) == {"LEAVER": "held: held"}
    assert (replay.held, replay.failed) == (1, 0)


def test_retention_takes_events_out_of_a_replay_and_it_still_ends(hub: Hub, hurry: None) -> None:
    failed_people(hub, 3)
    by = staff()
    replay = started(by)
    pause_replay(replay, DecidingPerson(by))
    Event.objects.filter(entity_id="PERSON0").update(received_at=timezone.now() - timedelta(days=4000))
    prune_expired()
    assert Event.objects.count() == 2
    resume_replay(replay, DecidingPerson(by), ReplayPace.NORMAL)
    assert work(replay).succeeded == 2
