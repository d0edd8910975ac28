"""A job is run by one worker at a time, and by another one if that dies; the database decides."""

import threading
from contextlib import nullcontext
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, connections, transaction
from django.db.models import F

from sync.jobs import claims
from sync.jobs.claims import claim_job_of, claim_next_job, find_due_kinds
from sync.jobs.claims import load_claimed_job as claimed_before
from sync.jobs.running_job import JobKind, JobLost, RunningJob
from sync.jobs.submission import submit_job
from sync.models import Job
from tests.support.job_kinds import (
    COUNTING,
    OTHER,
    Recorder,
    claim_job,
    job_note,
    job_of,
    submit_source_job,
    write_to_row,
)
from tests.support.jobs import end_leases
from webhooks.models import Source

pytestmark = pytest.mark.usefixtures("recorder")


@pytest.mark.parametrize("is_careless", [False, True])
def test_workers_at_the_same_moment_claim_a_job_once(
    monkeypatch: pytest.MonkeyPatch, is_careless: bool
) -> None:
    """Each has read the waiting job before the first one claims it. Without compare-and-set all of them get it."""
    submit_source_job()
    claim_it = claim_without_comparing if is_careless else claims._claim_job
    barrier, found = threading.Barrier(5), []

    def claim_together(*arguments: Any) -> RunningJob | None:
        barrier.wait(20)
        return claim_it(*arguments)

    monkeypatch.setattr(claims, "_claim_job", claim_together)

    def work() -> None:
        found.append(claim_next_job(COUNTING))
        connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 5
    assert sum(job is not None for job in found) == (5 if is_careless else 1)


def claim_without_comparing(key: int, kind: JobKind, subject: int, _slot: int | None) -> RunningJob:
    """Claim a job in the broken variant: the last worker gets it, and the others believe that they have it too."""
    job = Job.objects.get(pk=key)
    token = uuid4()
    Job.objects.filter(pk=key).update(state="running", token=token, lease_until=job.submitted_at)
    return RunningJob(key, kind, subject, token)


def test_a_claim_is_recorded_in_the_job_and_in_its_row() -> None:
    key = submit_source_job()
    job = claim_job()
    row = job_of(key)
    assert (row.state, row.token, row.due_at) == ("running", job.token, None)
    assert row.lease_until is not None
    assert job_note(key) == "running"
    assert claimed_before(job.job_id, job.token) == job
    job.finish()
    assert claimed_before(job.job_id, job.token) is None, "the claim has ended"


def test_the_job_that_waited_longest_comes_first_and_each_kind_for_itself() -> None:
    first, second = submit_source_job("first"), submit_source_job("second")
    other = submit_source_job("third", "other")
    assert sorted(find_due_kinds()) == ["counting", "other"]
    assert [claim_job().subject, claim_job().subject, claim_next_job(COUNTING)] == [first, second, None]
    assert claim_job(OTHER).subject == other
    assert find_due_kinds() == []


def test_no_more_jobs_run_at_once_than_the_limit_of_their_kind(recorder: Recorder) -> None:
    recorder.at_once = 2
    for slug in ("first", "second", "third"):
        submit_source_job(slug)
    first, second = claim_job(), claim_job()
    assert claim_next_job(COUNTING) is None
    second.requeue(after=60)
    assert claim_job().subject not in (first.subject, second.subject)
    assert claim_next_job(COUNTING) is None
    with pytest.raises(IntegrityError), transaction.atomic():
        Job.objects.filter(pk=second.job_id).update(
            state="running", token=first.token, lease_until=job_of(first.subject).lease_until, slot=0
        )


def test_a_job_run_at_once_takes_no_slot_and_is_claimed_by_no_other_worker(recorder: Recorder) -> None:
    recorder.at_once = 1
    first, second = submit_source_job("first"), submit_source_job("second")
    assert claim_job().subject == first
    job = claim_job_of(COUNTING, second)
    assert job is not None
    assert job_of(second).slot is None
    assert claim_job_of(COUNTING, second) is None
    assert claim_job_of(COUNTING, 10**9) is None


@pytest.mark.parametrize("is_careless", [False, True])
def test_a_job_with_an_expired_lease_is_taken_over_and_its_old_worker_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, is_careless: bool
) -> None:
    key = submit_source_job()
    slept = claim_job()
    end_leases()
    assert find_due_kinds() == ["counting"]
    second = claim_job()
    assert (second.subject, second.token != slept.token) == (key, True)
    if is_careless:
        monkeypatch.setattr(RunningJob, "_write", write_without_comparing)
    with nullcontext() if is_careless else pytest.raises(JobLost):
        write_to_row(slept, "written by the one that slept")
    for end in (slept.finish, slept.requeue, lambda: slept.fail("it"), lambda: slept.postpone(1)):
        with nullcontext() if is_careless else pytest.raises(JobLost):
            end()
    assert (Source.objects.get(pk=key).name == "written by the one that slept") == is_careless
    assert (job_of(key).token == second.token) != is_careless
    if not is_careless:
        second.renew_lease()
        second.finish()
        assert job_of(key).state == "done"


def write_without_comparing(self: RunningJob, using: str = "default", **values: Any) -> None:
    """Write in the broken variant: every worker that ever had the job writes."""
    Job.objects.using(using).filter(pk=self.job_id).update(**values)


def test_an_abandoned_job_is_claimed_before_waiting_ones() -> None:
    first = submit_source_job("first")
    claim_job()
    submit_source_job("second")
    end_leases()
    assert claim_job().subject == first


@pytest.mark.parametrize("is_broken", [False, True])
def test_a_job_that_was_submitted_before_the_clock_was_set_back_is_due_at_once(
    monkeypatch: pytest.MonkeyPatch, is_broken: bool
) -> None:
    if is_broken:
        monkeypatch.setattr(claims, "FRONT_OF_QUEUE", F("submitted_at"))
    submit_source_job()
    claim_job()
    Job.objects.update(submitted_at=F("submitted_at") + timedelta(hours=1))
    end_leases()
    again = claim_next_job(COUNTING)
    assert (again is None) is is_broken
    if again is not None:
        again.requeue()
        assert claim_next_job(COUNTING) is not None


@pytest.mark.parametrize("most", [3, 1_000])
def test_a_job_that_kills_its_process_three_times_fails_with_a_message(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Without a count it would kill one process after the other."""
    monkeypatch.setattr(claims, "MAX_DEATHS", most)
    key = submit_source_job()
    for _ in range(3):
        assert claim_job().subject == key
        end_leases()
    is_given_up = claim_next_job(COUNTING) is None
    assert is_given_up == (most == 3)
    if is_given_up:
        job = job_of(key)
        assert (job.state, job.token, job.due_at) == ("failed", None, None)
        assert job.failure == claims.DIED_MESSAGE
        assert job_note(key) == f"failed {claims.DIED_MESSAGE}"
        assert find_due_kinds() == []
        submit_job("counting", key)
        assert claim_job().subject == key, "who mended the cause submits it again"


def test_a_job_with_progress_in_each_run_is_not_failed() -> None:
    key = submit_source_job()
    for _ in range(6):
        job = claim_job()
        job.renew_lease(made_progress=True)
        end_leases()
    assert claim_job().subject == key
    assert job_of(key).deaths == 1


def test_there_is_one_open_job_of_a_subject() -> None:
    key = submit_source_job()
    now = job_of(key).submitted_at
    with pytest.raises(IntegrityError), transaction.atomic():
        Job.objects.create(kind="counting", subject=key, submitted_at=now, due_at=now)
