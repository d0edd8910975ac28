"""Promise I4 for many: however many workers look, and wherever they are killed, each event is sent once."""

import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from sync.attempts.delivery_run import run_delivery
from sync.execution.executor import run_due_deliveries
from sync.jobs.claims import claim_next_job
from sync.jobs.job_execution import run_next_jobs
from sync.jobs.running_job import JobLost
from sync.jobs.submission import submit_job
from sync.models import Attempt, Job, Member, Replay, ReplayPace, ReplayPauseReason, ReplayState
from sync.replays import batches
from sync.replays.batches import send_due_events
from sync.replays.decisions import DecidingPerson, pause_replay, resume_replay, stop_replay
from sync.replays.event_selection import select_events
from sync.replays.replay_job import REPLAY
from tests.support.builders.bulk_replays import failed_people, send_due, staff, started, states, work
from tests.support.hub import Hub
from tests.support.jobs import die_three_times, end_leases, run_jobs
from tests.support.people import entries
from tests.support.processes.hub_processes import attempt_that_dies_alone, lease_ends
from tests.support.processes.workers import wait_until, worker


def attempts_of(replay: Replay) -> Counter[int]:
    """How many attempts it caused of each delivery."""
    return Counter(Attempt.objects.filter(replay=replay).values_list("delivery", flat=True))


def test_workers_that_look_at_once_send_no_event_twice(hub: Hub, hurry: None) -> None:
    failed_people(hub, 24)
    replay = started(staff())

    def looks(_: int) -> int:
        try:
            return sum(send_due() for _ in range(8))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as workers:
        sent = sum(workers.map(looks, range(6)))
    work(replay)
    assert sent == replay.events == 24
    assert set(attempts_of(replay).values()) == {1}
    assert len(attempts_of(replay)) == 24


def test_killed_before_its_commit_a_look_has_sent_nothing(
    hub: Hub, hurry: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed_people(hub, 2)
    replay = started(staff())
    with monkeypatch.context() as broken:
        broken.setattr(batches, "_update_counts", killed)
        with pytest.raises(Killed):
            send_due()
    assert set(states(replay).values()) == {"waiting"}
    assert run_due_deliveries() == 0
    assert work(replay).succeeded == 2
    assert set(attempts_of(replay).values()) == {1}


def test_killed_between_its_commit_and_the_wake_up_the_sweep_delivers_once(
    hub: Hub, hurry: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed_people(hub, 2)
    replay = started(staff())
    with monkeypatch.context() as broken:
        broken.setattr(batches, "defer_to_workers", killed)
        with pytest.raises(Killed):
            send_due()
    assert set(states(replay).values()) == {"sent"}
    assert run_due_deliveries() == 2
    assert work(replay).succeeded == 2
    assert set(attempts_of(replay).values()) == {1}


def test_two_replays_of_the_same_events_send_each_once_and_the_later_says_so(hub: Hub, hurry: None) -> None:
    events = [event.pk for event in failed_people(hub, 4)]
    first, second = (select_events(staff(), events) for _ in range(2))
    for each in (first, second):
        started(each.requested_by, each)
    work(second)
    work(first)
    assert first.succeeded == 4
    assert set(states(second).values()) <= {"skipped: elsewhere", "skipped: meanwhile"}
    assert Attempt.objects.filter(cause="replay").count() == 4


def test_an_attempt_whose_process_died_is_told_by_the_one_that_follows(hub: Hub, hurry: None) -> None:
    [event] = failed_people(hub, 1)
    replay = work(started(staff()))
    Attempt.objects.filter(replay=replay).update(outcome="unknown", code="interrupted")
    Member.objects.filter(replay=replay).update(state="sent")
    Replay.objects.filter(pk=replay.pk).update(state="running", succeeded=0)
    submit_job("replay", replay.pk)
    hub.wait_until_quiet()
    event.deliveries.update(state="retrying", code="interrupted", due_at=timezone.now())
    run_jobs("replay")
    replay.refresh_from_db()
    assert (replay.state, replay.under_way_count) == (ReplayState.RUNNING, 1)
    assert run_due_deliveries() == 1
    assert work(replay).succeeded == 1


def test_a_replay_that_is_sent_while_an_attempt_kills_its_process_goes_out_afterwards(
    hub: Hub, hurry: None
) -> None:
    [event] = failed_people(hub, 1)
    replay = started(staff())
    hub.wait_until_quiet()
    delivery = event.deliveries.get()
    attempt_that_dies_alone(delivery)
    run_jobs("replay")
    assert states(replay) == {"PERSON0": "sent"}
    lease_ends(delivery.pk)
    assert run_delivery(delivery.pk, in_own_process=True).is_settled
    assert work(replay).succeeded == 1


def test_what_ended_without_an_attempt_of_the_replay_has_failed(hub: Hub, hurry: None) -> None:
    [event] = failed_people(hub, 1)
    replay = started(staff(), pace=ReplayPace.NORMAL)
    with_no_attempt = {"state": "dead", "code": "crashes-hub", "due_at": None, "replay": replay}
    Member.objects.filter(replay=replay).update(state="sent")
    Replay.objects.filter(pk=replay.pk).update(events=1)
    event.deliveries.update(**with_no_attempt)
    work(replay)
    assert states(replay) == {"PERSON0": "failed: crashes-hub"}


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_leaves_the_rest_to_another(hub: Hub) -> None:
    failed_people(hub, 30)
    replay = started(staff(), pace=ReplayPace.NORMAL)
    writes = len(hub.writes())
    with worker(0.2, LEASE_SECONDS="3") as [first]:
        wait_until(lambda: Attempt.objects.filter(replay=replay).count() >= 5)
        assert first.end(signal.SIGKILL) == -signal.SIGKILL
    assert Replay.objects.get(pk=replay.pk).state == ReplayState.RUNNING
    with worker(0.2, count=2, LEASE_SECONDS="3"):
        wait_until(lambda: Replay.objects.get(pk=replay.pk).state == ReplayState.FINISHED)
    replay.refresh_from_db()
    assert (replay.events, replay.succeeded) == (30, 30)
    assert set(attempts_of(replay).values()) == {1}
    assert len(hub.writes()) - writes == 30


def test_a_replay_that_kills_its_workers_is_paused_until_somebody_lets_it_go_on(
    hub: Hub, hurry: None
) -> None:
    failed_people(hub, 2)
    by = staff()
    replay = started(by)
    die_three_times("replay")
    replay.refresh_from_db()
    assert (replay.state, replay.paused, replay.events) == (ReplayState.PAUSED, ReplayPauseReason.CRASHING, 0)
    [told] = entries("replay.paused")
    assert (told["actor"], told["details"]["why"]) == ("system", "crashing")
    assert run_jobs() == 0
    assert resume_replay(replay, DecidingPerson(by), ReplayPace.NORMAL)
    assert work(replay).succeeded == 2


def test_a_replay_that_was_stopped_and_kills_its_workers_ends(
    hub: Hub, hurry: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed_people(hub, 1)
    by = staff()
    replay = started(by)
    monkeypatch.setattr("sync.replays.batches.defer_to_workers", lambda _: None)
    assert send_due() == 1
    assert stop_replay(replay, DecidingPerson(by))
    die_three_times("replay")
    replay.refresh_from_db()
    assert replay.state == ReplayState.STOPPED
    assert run_due_deliveries() == 1


def test_a_replay_that_is_left_paused_is_looked_at_once_an_hour_and_goes_on_at_once(
    hub: Hub, hurry: None
) -> None:
    failed_people(hub, 1)
    by = staff()
    replay = started(by)
    assert pause_replay(replay, DecidingPerson(by))
    assert run_jobs("replay") == 1
    assert run_next_jobs() == 0
    job = Job.objects.get(kind="replay")
    assert job.due_at - job.submitted_at > timedelta(minutes=55)
    assert resume_replay(replay, DecidingPerson(by), ReplayPace.NORMAL)
    assert run_next_jobs() == 1
    assert work(replay).succeeded == 1


@pytest.mark.parametrize("is_careless", [False, True])
def test_a_worker_that_slept_past_its_lease_sends_nothing(
    hub: Hub, hurry: None, monkeypatch: pytest.MonkeyPatch, is_careless: bool
) -> None:
    failed_people(hub, 3)
    replay = started(staff())
    slept = claim_next_job(REPLAY)
    assert slept is not None
    end_leases()
    assert claim_next_job(REPLAY) is not None
    if is_careless:
        monkeypatch.setattr(type(slept), "renew_lease", lambda *_, **__: None)
    with nullcontext() if is_careless else pytest.raises(JobLost):
        send_due_events(slept)
    hub.wait_until_quiet()
    replay.refresh_from_db()
    assert replay.events == (3 if is_careless else 0)


class Killed(Exception):
    """The process ends here."""


def killed(*_: object) -> None:
    raise Killed
