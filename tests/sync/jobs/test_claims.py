"""A job is run by one worker at a time, and by another one if that dies; the database decides."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connections, transaction
from django.db.models import F

from sync.jobs import claims
from sync.jobs.claims import claim_job_of, claim_next_job, find_due_kinds
from sync.jobs.claims import load_claimed_job as claimed_before
from sync.jobs.running_job import JobLost, RunningJob
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

pytestmark = [pytest.mark.usefixtures("recorder"), pytest.mark.concurrent]


def test_workers_at_the_same_moment_claim_a_job_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has read the waiting job before the first one claims it."""
    submit_source_job()
    claim_it = claims._claim_job
    barrier, found = threading.Barrier(5), []

    def claim_together(*arguments: Any) -> RunningJob | None:
        barrier.wait(60)
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
    assert sum(job is not None for job in found) == 1


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


def test_a_job_with_an_expired_lease_is_taken_over_and_its_old_worker_writes_nothing() -> None:
    key = submit_source_job()
    slept = claim_job()
    end_leases()
    assert find_due_kinds() == ["counting"]
    second = claim_job()
    assert (second.subject, second.token != slept.token) == (key, True)
    with pytest.raises(JobLost):
        write_to_row(slept, "written by the one that slept")
    for end in (slept.finish, slept.requeue, lambda: slept.fail("it"), lambda: slept.postpone(1)):
        with pytest.raises(JobLost):
            end()
    assert Source.objects.get(pk=key).name != "written by the one that slept"
    assert job_of(key).token == second.token
    second.renew_lease()
    second.finish()
    assert job_of(key).state == "done"


def test_an_abandoned_job_is_claimed_before_waiting_ones() -> None:
    first = submit_source_job("first")
    claim_job()
    submit_source_job("second")
    end_leases()
    assert claim_job().subject == first


def test_a_job_that_was_submitted_before_the_clock_was_set_back_is_due_at_once() -> None:
    submit_source_job()
    claim_job()
    Job.objects.update(submitted_at=F("submitted_at") + timedelta(hours=1))
    end_leases()
    again = claim_next_job(COUNTING)
    assert again is not None
    again.requeue()
    assert claim_next_job(COUNTING) is not None


def test_a_job_that_kills_its_process_three_times_fails_with_a_message() -> None:
    """Without a count it would kill one process after the other."""
    key = submit_source_job()
    for _ in range(3):
        assert claim_job().subject == key
        end_leases()
    assert claim_next_job(COUNTING) is None
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


def test_a_process_for_one_job_loads_no_other_kind(settings: Any) -> None:
    """A kind that cannot be loaded would fail each process that loads all."""
    settings.JOB_KINDS = {**settings.JOB_KINDS, "broken": "sync.no_such_module.BROKEN"}
    submit_source_job()
    job = claim_job()
    assert claimed_before(job.job_id, job.token) == job
