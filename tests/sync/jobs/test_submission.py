"""Work is submitted as a job and may be cancelled; neither request is lost, whatever a worker does meanwhile."""

from datetime import timedelta

import pytest
from django.utils import timezone

from sync.jobs.claims import claim_next_job
from sync.jobs.running_job import JobCancelled
from sync.jobs.submission import cancel_job, submit_job
from sync.models import Job
from tests.support.job_kinds import COUNTING, claim_job, job_of, submit_source_job, write_to_row
from tests.support.jobs import end_leases
from webhooks.models import Source

pytestmark = pytest.mark.usefixtures("recorder")


def test_a_delayed_job_is_due_when_it_is_submitted_again() -> None:
    key = submit_source_job()
    claim_job().requeue(after=3600)
    assert claim_next_job(COUNTING) is None
    submit_job("counting", key)
    assert claim_job().subject == key
    assert Job.objects.count() == 1


def test_a_job_that_is_submitted_while_it_runs_runs_once_more() -> None:
    key = submit_source_job()
    job = claim_job()
    submit_job("counting", key)
    assert claim_next_job(COUNTING) is None, "it runs already"
    job.requeue(after=3600)
    assert claim_job().subject == key


def test_a_job_handed_back_is_due_at_once_or_after_the_given_seconds() -> None:
    key = submit_source_job()
    claim_job().requeue()
    job = claim_job()
    assert job.subject == key
    before = timezone.now()
    job.requeue(after=3600)
    assert (claim_next_job(COUNTING), job_of(key).state) == (None, "waiting")
    due_at, hour = job_of(key).due_at, timedelta(hours=1)
    assert due_at is not None
    assert before + hour <= due_at + timedelta(milliseconds=1)
    assert due_at <= timezone.now() + hour


def test_a_waiting_job_is_cancelled_at_once() -> None:
    key = submit_source_job()
    assert cancel_job("counting", key)
    assert (job_of(key).state, claim_next_job(COUNTING)) == ("cancelled", None)
    assert not cancel_job("counting", key), "it has ended"


def test_the_worker_of_a_cancelled_job_is_stopped_and_writes_nothing() -> None:
    key = submit_source_job()
    job = claim_job()
    assert cancel_job("counting", key)
    with pytest.raises(JobCancelled):
        write_to_row(job, "written after it was cancelled")
    with pytest.raises(JobCancelled):
        job.finish()
    end_leases()
    assert claim_next_job(COUNTING) is None
    assert Source.objects.get(pk=key).name != "written after it was cancelled"
    assert job_of(key).state == "cancelled"


def test_an_ended_job_can_be_submitted_again() -> None:
    key = submit_source_job()
    claim_job().finish()
    submit_job("counting", key)
    assert [job.state for job in Job.objects.order_by("pk")] == ["done", "waiting"]
