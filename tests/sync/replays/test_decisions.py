"""Decisions about a bulk replay: once each, by permitted people, and recorded."""

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from audit.entries.acting_person import ActingPerson
from audit.models import Entry
from sync.models import PersonRequest, PersonRequestState, ReplayPace
from sync.replays.decisions import (
    approve_replay,
    decline_replay,
    pause_replay,
    resume_replay,
    stop_replay,
)
from sync.replays.event_selection import begin_selection, select_events
from sync.replays.requests import ReplayAlreadyRequested, ReplayRefused
from tests.support.builders.bulk_replays import (
    freeze_event_set,
    staff_user,
    start_bulk_replay,
    work_replay,
)
from tests.support.builders.history import a_delivery, a_route, a_source, an_event
from tests.support.jobs import run_jobs
from tests.support.people import entries


@pytest.fixture
def by(db: None) -> User:
    route = a_route(a_source())
    for number in range(3):
        a_delivery(an_event(number, state="dead", code="target-rejected"), route)
    return staff_user("liisa")


def test_a_bulk_replay_needs_a_reason(by: User) -> None:
    replay = freeze_event_set(by)
    with pytest.raises(ReplayRefused, match="Enter a reason"):
        start_bulk_replay(by, replay, reason=" \n\t")
    replay.refresh_from_db()
    assert replay.state == PersonRequestState.CHOSEN


def test_a_second_start_of_the_same_set_does_nothing(by: User) -> None:
    replay = freeze_event_set(by)
    start_bulk_replay(by, PersonRequest.objects.get(pk=replay.pk))
    stale = replay  # as another tab knows it
    with pytest.raises(ReplayAlreadyRequested, match="Nothing was started twice"):
        start_bulk_replay(by, stale)
    assert Entry.objects.filter(action="replay.started").count() == 1


def test_a_set_of_another_person_still_counted_or_without_sendable_events_is_refused(by: User) -> None:
    with pytest.raises(ReplayRefused, match="another user"):
        start_bulk_replay(staff_user("antti"), freeze_event_set(by))
    with pytest.raises(ReplayRefused, match="still being counted"):
        start_bulk_replay(by, begin_selection(by, {"state": "dead"}))
    device = an_event(9, entity_type="DEVICE")
    with pytest.raises(ReplayRefused, match="None of these events"):
        start_bulk_replay(by, select_events(by, [device.pk]))


def test_above_the_limit_a_second_person_must_approve(by: User) -> None:
    replay = start_bulk_replay(by, approval_limit=2)
    assert replay.state == PersonRequestState.AWAITING
    run_jobs("replay")
    replay.refresh_from_db()
    assert (replay.state, replay.events) == (PersonRequestState.AWAITING, 0)
    with pytest.raises(ReplayRefused, match="second person"):
        approve_replay(replay, ActingPerson(by))
    antti = staff_user("antti")
    assert approve_replay(replay, ActingPerson(antti, "192.0.2.9"))
    assert (replay.state, replay.decided_by, replay.decided_by == by) == (
        PersonRequestState.RUNNING,
        antti,
        False,
    )
    assert not approve_replay(replay, ActingPerson(antti))
    [asked], [approved] = entries("replay.awaits-approval"), entries("replay.approved")
    assert (asked["actor"], asked["details"]["limit"]) == (f"person:{by.pk}", 2)
    assert (approved["actor"], approved["details"]) == (
        f"person:{antti.pk}",
        {"sent": 3, "address": "192.0.2.9"},
    )


def test_the_database_itself_refuses_an_approval_by_the_one_who_asked(by: User) -> None:
    replay = start_bulk_replay(by, approval_limit=2)
    with pytest.raises(IntegrityError), transaction.atomic():
        PersonRequest.objects.filter(pk=replay.pk).update(decided_by=by)


def test_at_the_limit_no_approval_is_needed(by: User) -> None:
    assert start_bulk_replay(by, approval_limit=3).state == PersonRequestState.RUNNING


@pytest.mark.parametrize("name", ["antti", "liisa"])
def test_a_replay_awaiting_approval_is_declined_by_the_second_person_or_withdrawn(
    by: User, name: str
) -> None:
    replay = start_bulk_replay(by, approval_limit=1)
    person = by if name == "liisa" else staff_user(name)
    assert decline_replay(replay, ActingPerson(person))
    assert (replay.state, replay.paused_by) == (PersonRequestState.STOPPED, person)
    assert replay.decided_by == (None if person == by else person)
    assert not approve_replay(replay, ActingPerson(staff_user("third")))


def test_an_ended_replay_cannot_be_resumed(by: User) -> None:
    replay, person = start_bulk_replay(by), ActingPerson(by)
    assert pause_replay(replay, person)
    assert stop_replay(replay, person)
    assert not resume_replay(replay, person, ReplayPace.NORMAL)
    assert not pause_replay(replay, person)
    work_replay(replay, PersonRequestState.STOPPED)
    assert [entry.action for entry in Entry.objects.filter(stream=replay.stream).order_by("id")] == [
        "replay.started",
        "replay.paused",
        "replay.stopped",
    ]


def test_the_audit_log_does_not_contain_the_person_named_in_a_filter(by: User) -> None:
    start_bulk_replay(by, freeze_event_set(by, entity_id="USR-1"))
    [begun] = entries("replay.started")
    assert begun["details"]["filter"] == {"entity_id": True}
    assert "USR-1" not in Entry.objects.get(action="replay.started").body
