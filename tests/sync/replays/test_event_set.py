"""The frozen set of a bulk replay: exactly the matching events, with the reasons for those that will be skipped."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sync.erasure.erase import run_erasure
from sync.jobs.claims import claim_job_of
from sync.models import Erasure, Job, Link, PersonRequest, PersonRequestMember, PersonRequestState, Route
from sync.replays import event_selection
from sync.replays.event_selection import (
    TooManyEvents,
    begin_selection,
    discard_old_selections,
    fill_selection,
    select_events,
)
from sync.replays.filter_selection import EVENT_SET, select_by_filter
from sync.replays.requests import ReplayRefused
from tests.support.builders.bulk_replays import (
    create_person,
    fail_customers,
    fail_events,
    freeze_event_set,
    member_states,
    send_webhook,
    staff_user,
    start_bulk_replay,
)
from tests.support.builders.erasure import confirmed_erasure, invented_person, receive_people
from tests.support.builders.history import a_delivery, a_route, a_source, an_event
from tests.support.hub import ANNA, Hub
from tests.support.jobs import die_three_times, run_jobs
from webhooks.models import Event


@pytest.mark.submission
def test_events_that_fail_later_are_not_in_a_frozen_set(hub: Hub) -> None:
    events = fail_customers(hub, 3)
    replay = freeze_event_set(staff_user())
    fail_events(hub, ANNA)
    run_jobs("event-set")
    replay.refresh_from_db()
    assert (replay.state, replay.total, replay.waiting_count) == (PersonRequestState.CHOSEN, 3, 3)
    assert set(replay.members.values_list("event", flat=True)) == {event.pk for event in events}


@pytest.mark.promise("I20")
def test_an_older_event_is_skipped_if_a_newer_one_of_its_entity_was_applied(hub: Hub) -> None:
    event, _ = fail_events(hub, ANNA, create_person(hub, "OTHER"))
    hub.change_email("anna.newer@example.com")
    newer = send_webhook(hub, ANNA)
    # The order of events does not depend on the clocks of hosts.
    Event.objects.filter(pk=newer.pk).update(received_at=event.received_at - timedelta(hours=12))
    replay = freeze_event_set(staff_user())
    assert member_states(replay) == {ANNA: "skipped: newer", "OTHER": "waiting"}
    assert (replay.total, replay.skipped, replay.waiting_count) == (2, 1, 1)


@pytest.mark.submission
def test_an_older_event_is_not_skipped_for_a_newer_one_that_failed(hub: Hub) -> None:
    fail_events(hub, ANNA, ANNA)
    replay = freeze_event_set(staff_user())
    assert (replay.total, replay.waiting_count) == (2, 2)


@pytest.mark.submission
@pytest.mark.parametrize("when_deleted", ["delete", "deactivate"])
def test_an_event_of_an_entity_that_was_deleted_is_skipped_as_deleted(hub: Hub, when_deleted: str) -> None:
    Route.objects.update(when_deleted=when_deleted, max_removals=None)
    user = create_person(hub, "LEAVER")
    send_webhook(hub, user)
    fail_events(hub, user)
    hub.identity.directory.delete_record("users", user)
    assert send_webhook(hub, user, "DELETE").state == "succeeded"
    assert member_states(freeze_event_set(staff_user())) == {user: "skipped: deleted"}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("newer_type", "record", "member"),
    [
        # The target had no record to delete.
        ("DELETE", None, "skipped: deleted"),
        # A fetch found that the entity is absent.
        ("UPDATE", "", "skipped: deleted"),
        ("UPDATE", "17", "skipped: newer"),
    ],
)
def test_a_newer_deletion_or_a_record_that_was_deleted_is_the_reason_to_skip(
    newer_type: str, record: str | None, member: str
) -> None:
    failed = an_event(7, state="dead")
    route = a_route(failed.source)
    a_delivery(failed, route)
    newer = an_event(6, source=failed.source, entity_id=failed.entity_id, event_type=newer_type)
    a_delivery(newer, route)
    if record is not None:
        Link.objects.create(
            identity=route.identity,
            target=route.target,
            entity_type=failed.entity_type,
            entity_id=failed.entity_id,
            record_id=record,
            applied_at=timezone.now(),
        )
    assert member_states(select_events(staff_user(), [failed.pk])) == {failed.entity_id: member}


@pytest.mark.submission
def test_events_without_a_route_erased_or_waiting_elsewhere_are_skipped_with_a_reason(hub: Hub) -> None:
    people = fail_customers(hub, 4)
    by = staff_user()
    Event.objects.filter(pk=people[0].pk).update(entity_id="~" + "0" * 64)
    Erasure.objects.create(
        entity_type="USER",
        entity_id="PERSON1",
        sources=[people[1].source_id],
        ground="objection",
        reason="asked",
        requested_by=by,
        requested_at=timezone.now(),
        state="confirmed",
    )
    start_bulk_replay(by, select_events(by, [people[2].pk]))
    hub.post({"id": "X1", "entityType": "DEVICE", "eventType": "UPDATE"})
    replay = select_events(by, [event.pk for event in Event.objects.all()])
    assert member_states(replay) == {
        "~" + "0" * 64: "skipped: erased",
        "PERSON1": "skipped: erased",
        "PERSON2": "skipped: other-replay",
        "PERSON3": "waiting",
        "X1": "skipped: unrouted",
    }


@pytest.mark.submission
def test_an_erased_person_is_removed_from_the_filter_of_a_set(hub: Hub) -> None:
    [person] = receive_people(hub, [invented_person(1)])
    replay = freeze_event_set(staff_user(), entity_id=person.entity_id)
    assert run_erasure(confirmed_erasure(person))
    replay.refresh_from_db()
    assert set(replay.filter) == {"entity_id"}
    assert replay.filter["entity_id"].startswith("~")


@pytest.mark.submission
@pytest.mark.django_db
def test_a_set_is_made_in_batches_of_constant_cost_and_can_be_resumed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_selection, "BATCH_SIZE", 10)
    route = a_route(a_source())
    for number in range(35):
        a_delivery(an_event(number, state="dead", code="target-rejected"), route)
    an_event(99, state="succeeded")
    replay = begin_selection(staff_user(), {"state": "dead"})
    job = claim_job_of(EVENT_SET, replay.pk)
    assert job is not None
    matching = Event.objects.filter(state="dead")
    costs = []
    for _ in range(3):
        with CaptureQueriesContext(connection) as statements:
            assert not fill_selection(replay, matching, 0.0, job)
        costs.append(len(statements))
    assert replay.total == 30
    assert len(set(costs)) == 1
    assert costs[0] <= 16
    assert fill_selection(PersonRequest.objects.get(pk=replay.pk), matching, 5.0, job)
    replay.refresh_from_db()
    assert (replay.state, replay.total, replay.waiting_count) == (PersonRequestState.CHOSEN, 35, 35)
    assert PersonRequestMember.objects.filter(person_request=replay, state="waiting").count() == 35


@pytest.mark.django_db
def test_events_of_the_same_time_are_neither_left_out_nor_doubled_between_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_selection, "BATCH_SIZE", 3)
    at = timezone.now()
    for number in range(10):
        an_event(number, state="dead", received_at=at)
    assert freeze_event_set(staff_user()).total == 10


@pytest.mark.django_db
def test_a_worker_completes_a_set_that_its_request_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_selection, "BATCH_SIZE", 2)
    monkeypatch.setattr("sync.replays.filter_selection._REQUEST_SECONDS", 0.0)
    for number in range(7):
        an_event(number, state="dead")
    replay = select_by_filter(staff_user(), {"state": "dead"})
    assert (replay.state, replay.total) == (PersonRequestState.CHOOSING, 2)
    run_jobs("event-set")
    replay.refresh_from_db()
    assert (replay.state, replay.total) == (PersonRequestState.CHOSEN, 7)


@pytest.mark.django_db
def test_a_set_that_is_too_large_is_refused_and_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_selection, "MAX_EVENTS", 3)
    for number in range(4):
        an_event(number, state="dead")
    with pytest.raises(TooManyEvents, match="More than 3 events match"):
        freeze_event_set(staff_user())
    with pytest.raises(TooManyEvents):
        select_events(staff_user(), list(Event.objects.values_list("pk", flat=True)))
    with pytest.raises(ReplayRefused, match="at least one"):
        select_events(staff_user(), [])
    assert (PersonRequest.objects.count(), PersonRequestMember.objects.count()) == (0, 0)


@pytest.mark.django_db
def test_an_unconfirmed_set_is_deleted_after_a_day_and_a_started_one_never() -> None:
    route = a_route(a_source())
    events = [an_event(number, state="dead") for number in range(2)]
    for event in events:
        a_delivery(event, route)
    kept, left = (select_events(staff_user(), [event.pk]) for event in events)
    start_bulk_replay(kept.requested_by, kept)
    PersonRequest.objects.update(created_at=timezone.now() - timedelta(days=2))
    assert discard_old_selections() == 1
    assert [replay.pk for replay in PersonRequest.objects.all()] == [kept.pk]
    assert not PersonRequestMember.objects.filter(person_request=left).exists()


@pytest.mark.django_db
def test_a_set_that_kills_its_workers_is_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_selection, "BATCH_SIZE", 2)
    monkeypatch.setattr("sync.replays.filter_selection._REQUEST_SECONDS", 0.0)
    for number in range(5):
        an_event(number, state="dead")
    assert select_by_filter(staff_user(), {"state": "dead"}).total == 2
    die_three_times("event-set")
    assert not PersonRequest.objects.exists()
    assert not PersonRequestMember.objects.exists()
    assert Job.objects.get().state == "failed"
