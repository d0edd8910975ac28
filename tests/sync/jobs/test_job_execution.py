"""Whatever comes of a run, its job ends, waits for the next worker, or is tried again."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from sync.jobs.claims import claim_next_job
from sync.jobs.job_execution import run_job, run_next_jobs, tidy_up_jobs
from sync.jobs.running_job import JobStopped
from sync.jobs.submission import cancel_job, submit_job
from sync.models import Job
from tests.support.job_kinds import COUNTING, Recorder, claimed, job_of, said_of, submitted
from tests.support.jobs import end_leases, run_jobs


def test_what_is_due_is_run_one_after_the_other(recorder: Recorder) -> None:
    keys = [submitted(slug) for slug in ("first", "second")]
    other = submitted("third", "other")
    assert run_next_jobs() == 3
    assert recorder.runs == keys
    assert {job_of(key).state for key in (*keys, other)} == {"done"}
    assert run_next_jobs() == 0


def test_only_the_kinds_that_are_wanted_are_run(recorder: Recorder) -> None:
    key, other = submitted("first"), submitted("second", "other")
    assert run_next_jobs(kinds=["other"]) == 1
    assert (job_of(key).state, job_of(other).state) == ("waiting", "done")


def test_while_nothing_is_due_one_statement_is_asked(recorder: Recorder) -> None:
    submitted()
    claimed().hand_back(after=3600)
    with CaptureQueriesContext(connection) as asked:
        assert run_next_jobs() == 0
    assert len(asked) == 1


def test_a_job_of_a_kind_that_this_hub_does_not_know_is_left_alone(recorder: Recorder) -> None:
    submit_job("unknown", 1)
    assert run_next_jobs() == 0
    assert Job.objects.get().state == "waiting"


def test_a_process_that_is_told_to_end_hands_its_job_back(recorder: Recorder) -> None:
    def stop(_job: Any, goes_on: Any) -> None:
        assert not goes_on()
        raise JobStopped

    key, recorder.does = submitted(), stop
    run_job(claimed(), lambda: False)
    assert (job_of(key).state, said_of(key)) == ("waiting", "waiting")
    assert claimed().subject == key, "the next worker goes on at once"


def test_nothing_is_begun_by_a_process_that_is_told_to_end(recorder: Recorder) -> None:
    submitted()
    assert run_next_jobs(lambda: False) == 0
    assert recorder.runs == []


def test_after_an_error_it_is_tried_again_later_each_time(recorder: Recorder) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    key, recorder.does = submitted(), fail
    waits = []
    for _ in range(8):
        submit_job("counting", key)
        run_job(claimed())
        assert claim_next_job(COUNTING) is None
        job = Job.objects.annotate(wait=F("due_at") - F("submitted_at")).get()
        waits.append(job.wait)
    assert [round(wait.total_seconds(), -1) for wait in waits] == [10, 20, 40, 80, 160, 320, 600, 600]
    assert job_of(key).state == "waiting"
    recorder.does = lambda job, _: job.hand_back()
    run_job_once(key)
    assert job_of(key).errors == 0, "all is well with it"


def run_job_once(key: int) -> None:
    submit_job("counting", key)
    run_job(claimed())


def test_a_database_that_is_away_is_not_the_fault_of_the_job(recorder: Recorder) -> None:
    def go_away(*_: Any) -> None:
        raise OperationalError

    key, recorder.does = submitted(), go_away
    with pytest.raises(OperationalError):
        run_job(claimed())
    assert (job_of(key).state, job_of(key).errors) == ("running", 0)
    end_leases()
    recorder.does = lambda job, _: job.finish()
    assert run_jobs() == 1
    assert job_of(key).state == "done"


def test_a_job_that_was_lost_or_cancelled_is_left_to_who_has_it(recorder: Recorder) -> None:
    def be_cancelled(job: Any, _: Any) -> None:
        assert cancel_job("counting", job.subject)
        job.renew()

    key, recorder.does = submitted(), be_cancelled
    run_job(claimed())
    assert job_of(key).state == "cancelled"


def test_jobs_that_ended_a_month_ago_are_deleted_and_no_others(recorder: Recorder) -> None:
    keys = [submitted(slug) for slug in ("first", "second")]
    run_next_jobs()
    waits = submitted("third")
    Job.objects.filter(subject=keys[0]).update(ended_at=F("ended_at") - timedelta(days=31))
    Job.objects.filter(subject=waits).update(submitted_at=F("submitted_at") - timedelta(days=99))
    tidy_up_jobs()
    assert set(Job.objects.values_list("subject", flat=True)) == {keys[1], waits}
    assert recorder.tidied == 1
