"""Promise I4 for bulk replays: with any number of workers, killed anywhere, each event is sent once."""

from collections import Counter
from datetime import timedelta

import pytest
from django.utils import timezone

from audit.entries.acting_person import ActingPerson
from sync.execution.executor import run_due_deliveries
from sync.jobs.claims import claim_next_job
from sync.jobs.job_execution import run_next_jobs
from sync.jobs.running_job import JobLost
from sync.jobs.submission import submit_job
from sync.models import (
    Attempt,
    Job,
    PersonRequest,
    PersonRequestMember,
    PersonRequestState,
    ReplayPace,
    ReplayPauseReason,
)
from sync.replays import batches
from sync.replays.batches import send_due_events
from sync.replays.decisions import pause_replay, resume_replay, stop_replay
from sync.replays.event_selection import select_events
from sync.replays.replay_job import REPLAY
from tests.support.builders.bulk_replays import (
    fail_customers,
    member_states,
    send_all_due,
    staff_user,
    start_bulk_replay,
    work_replay,
)
from tests.support.hub import Hub
from tests.support.jobs import die_three_times, end_leases, run_jobs
from tests.support.people import entries
from tests.support.threads import in_threads

pytestmark = pytest.mark.concurrent


def attempts_of(replay: PersonRequest) -> Counter[int]:
    """Return the number of attempts of the replay for each delivery."""
    return Counter(Attempt.objects.filter(person_request=replay).values_list("delivery", flat=True))


@pytest.mark.nightly
def test_simultaneous_workers_send_no_event_twice(hub: Hub, hurry: None) -> None:
    fail_customers(hub, 24)
    replay = start_bulk_replay(staff_user())

    sent = sum(in_threads(lambda _: sum(send_all_due() for _ in range(8)), 6))
    work_replay(replay)
    assert sent == replay.events == 24
    assert set(attempts_of(replay).values()) == {1}
    assert len(attempts_of(replay)) == 24


@pytest.mark.parametrize(
    ("killing", "state", "sent"),
    [("_update_counts", "waiting", 0), ("defer_to_workers", "sent", 2)],
    ids=["before the commit", "after it"],
)
def test_events_of_a_killed_worker_are_delivered_once(
    hub: Hub, hurry: None, monkeypatch: pytest.MonkeyPatch, killing: str, state: str, sent: int
) -> None:
    fail_customers(hub, 2)
    replay = start_bulk_replay(staff_user())
    with monkeypatch.context() as broken:
        broken.setattr(batches, killing, killed)
        with pytest.raises(Killed):
            send_all_due()
    assert set(member_states(replay).values()) == {state}
    assert run_due_deliveries() == sent
    assert work_replay(replay).succeeded == 2
    assert set(attempts_of(replay).values()) == {1}


def test_two_replays_of_the_same_events_send_each_once(hub: Hub, hurry: None) -> None:
    events = [event.pk for event in fail_customers(hub, 4)]
    first, second = (select_events(staff_user(), events) for _ in range(2))
    for replay in (first, second):
        start_bulk_replay(replay.requested_by, replay)
    work_replay(second)
    work_replay(first)
    assert first.succeeded == 4
    assert set(member_states(second).values()) <= {"skipped: other-replay", "skipped: succeeded"}
    assert Attempt.objects.filter(cause="replay").count() == 4


def test_the_result_of_a_dead_attempt_is_that_of_the_next_one(hub: Hub, hurry: None) -> None:
    [event] = fail_customers(hub, 1)
    replay = work_replay(start_bulk_replay(staff_user()))
    Attempt.objects.filter(person_request=replay).update(outcome="unknown", code="interrupted")
    PersonRequestMember.objects.filter(person_request=replay).update(state="sent")
    PersonRequest.objects.filter(pk=replay.pk).update(state="running", succeeded=0)
    submit_job("replay", replay.pk)
    hub.wait_until_quiet()
    event.deliveries.update(state="retrying", code="interrupted", due_at=timezone.now())
    run_jobs("replay")
    replay.refresh_from_db()
    assert (replay.state, replay.in_progress_count) == (PersonRequestState.RUNNING, 1)
    assert run_due_deliveries() == 1
    assert work_replay(replay).succeeded == 1


def test_a_member_that_ended_without_an_attempt_of_the_replay_has_failed(hub: Hub, hurry: None) -> None:
    [event] = fail_customers(hub, 1)
    replay = start_bulk_replay(staff_user(), pace=ReplayPace.NORMAL)
    with_no_attempt = {"state": "dead", "code": "crashes-hub", "due_at": None, "person_request": replay}
    PersonRequestMember.objects.filter(person_request=replay).update(state="sent")
    PersonRequest.objects.filter(pk=replay.pk).update(events=1)
    event.deliveries.update(**with_no_attempt)
    work_replay(replay)
    assert member_states(replay) == {"PERSON0": "failed: crashes-hub"}


@pytest.mark.submission
def test_a_replay_that_kills_its_workers_is_paused_until_it_is_resumed(hub: Hub, hurry: None) -> None:
    fail_customers(hub, 2)
    by = staff_user()
    replay = start_bulk_replay(by)
    die_three_times("replay")
    replay.refresh_from_db()
    assert (replay.state, replay.pause_reason, replay.events) == (
        PersonRequestState.PAUSED,
        ReplayPauseReason.CRASHING,
        0,
    )
    [pause] = entries("replay.paused")
    assert (pause["actor"], pause["details"]["why"]) == ("system", "crashing")
    assert run_jobs() == 0
    assert resume_replay(replay, ActingPerson(by), ReplayPace.NORMAL)
    assert work_replay(replay).succeeded == 2


@pytest.mark.submission
def test_a_replay_that_was_stopped_and_kills_its_workers_ends(
    hub: Hub, hurry: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_customers(hub, 1)
    by = staff_user()
    replay = start_bulk_replay(by)
    monkeypatch.setattr("sync.replays.batches.defer_to_workers", lambda _: None)
    assert send_all_due() == 1
    assert stop_replay(replay, ActingPerson(by))
    die_three_times("replay")
    replay.refresh_from_db()
    assert replay.state == PersonRequestState.STOPPED
    assert run_due_deliveries() == 1


def test_a_paused_replay_is_checked_once_an_hour_and_resumes_at_once(hub: Hub, hurry: None) -> None:
    fail_customers(hub, 1)
    by = staff_user()
    replay = start_bulk_replay(by)
    assert pause_replay(replay, ActingPerson(by))
    assert run_jobs("replay") == 1
    assert run_next_jobs() == 0
    job = Job.objects.get(kind="replay")
    assert job.due_at - job.submitted_at > timedelta(minutes=55)
    assert resume_replay(replay, ActingPerson(by), ReplayPace.NORMAL)
    assert run_next_jobs() == 1
    assert work_replay(replay).succeeded == 1


@pytest.mark.submission
def test_a_worker_whose_lease_expired_sends_nothing(hub: Hub, hurry: None) -> None:
    fail_customers(hub, 3)
    replay = start_bulk_replay(staff_user())
    slept = claim_next_job(REPLAY)
    assert slept is not None
    end_leases()
    assert claim_next_job(REPLAY) is not None
    with pytest.raises(JobLost):
        send_due_events(slept)
    replay.refresh_from_db()
    assert replay.events == 0


class Killed(Exception):
    """The process ends here."""


def killed(*_: object) -> None:
    raise Killed
