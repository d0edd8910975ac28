"""After any result of a run, its job ends, waits for the next worker, or is retried."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.db.models import F

from sync.jobs.claims import claim_next_job
from sync.jobs.job_execution import clean_up_jobs, run_job, run_next_jobs
from sync.jobs.running_job import JobStopped
from sync.jobs.submission import cancel_job, submit_job
from sync.models import Job
from tests.support.job_kinds import COUNTING, Recorder, claim_job, job_note, job_of, submit_source_job
from tests.support.jobs import end_leases, run_jobs


def test_due_jobs_run_one_after_the_other(recorder: Recorder) -> None:
    keys = [submit_source_job(slug) for slug in ("first", "second")]
    other = submit_source_job("third", "other")
    assert run_next_jobs() == 3
    assert recorder.runs == keys
    assert {job_of(key).state for key in (*keys, other)} == {"done"}
    assert run_next_jobs() == 0


def test_only_jobs_of_the_given_kinds_run(recorder: Recorder) -> None:
    key, other = submit_source_job("first"), submit_source_job("second", "other")
    assert run_next_jobs(kinds=["other"]) == 1
    assert (job_of(key).state, job_of(other).state) == ("waiting", "done")


def test_a_job_of_an_unknown_kind_is_skipped(recorder: Recorder) -> None:
    submit_job("unknown", 1)
    assert run_next_jobs() == 0
    assert Job.objects.get().state == "waiting"


def test_a_process_that_is_stopping_hands_its_job_back(recorder: Recorder) -> None:
    def stop(_job: Any, goes_on: Any) -> None:
        assert not goes_on()
        raise JobStopped

    key, recorder.action = submit_source_job(), stop
    run_job(claim_job(), lambda: False)
    assert (job_of(key).state, job_note(key)) == ("waiting", "waiting")
    assert claim_job().subject == key, "the next worker goes on at once"


def test_a_process_that_is_stopping_starts_no_job(recorder: Recorder) -> None:
    submit_source_job()
    assert run_next_jobs(lambda: False) == 0
    assert recorder.runs == []


def test_a_job_is_retried_after_errors_with_growing_delays(recorder: Recorder) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    key, recorder.action = submit_source_job(), fail
    waits = []
    for _ in range(8):
        submit_job("counting", key)
        run_job(claim_job())
        assert claim_next_job(COUNTING) is None
        job = Job.objects.annotate(wait=F("due_at") - F("submitted_at")).get()
        waits.append(job.wait)
    assert [round(wait.total_seconds(), -1) for wait in waits] == [10, 20, 40, 80, 160, 320, 600, 600]
    assert job_of(key).state == "waiting"
    recorder.action = lambda job, _: job.requeue()
    run_job_once(key)
    assert job_of(key).errors == 0, "all is well with it"


def run_job_once(key: int) -> None:
    submit_job("counting", key)
    run_job(claim_job())


def test_an_unavailable_database_does_not_count_as_a_failure_of_the_job(recorder: Recorder) -> None:
    def go_away(*_: Any) -> None:
        raise OperationalError

    key, recorder.action = submit_source_job(), go_away
    with pytest.raises(OperationalError):
        run_job(claim_job())
    assert (job_of(key).state, job_of(key).errors) == ("running", 0)
    end_leases()
    recorder.action = lambda job, _: job.finish()
    assert run_jobs() == 1
    assert job_of(key).state == "done"


def test_a_lost_or_cancelled_job_is_not_changed_any_more(recorder: Recorder) -> None:
    def be_cancelled(job: Any, _: Any) -> None:
        assert cancel_job("counting", job.subject)
        job.renew()

    key, recorder.action = submit_source_job(), be_cancelled
    run_job(claim_job())
    assert job_of(key).state == "cancelled"


def test_jobs_that_ended_a_month_ago_are_deleted_and_no_others(recorder: Recorder) -> None:
    keys = [submit_source_job(slug) for slug in ("first", "second")]
    run_next_jobs()
    waits = submit_source_job("third")
    Job.objects.filter(subject=keys[0]).update(ended_at=F("ended_at") - timedelta(days=31))
    Job.objects.filter(subject=waits).update(submitted_at=F("submitted_at") - timedelta(days=99))
    clean_up_jobs()
    assert set(Job.objects.values_list("subject", flat=True)) == {keys[1], waits}
    assert recorder.tidied == 1
