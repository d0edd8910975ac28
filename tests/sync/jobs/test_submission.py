"""Who wants work done submits it, and may cancel it; neither is lost, whatever a worker does at that moment."""

import pytest

from sync.jobs.claims import claim_next_job, find_due_kinds
from sync.jobs.running_job import JobCancelled
from sync.jobs.submission import cancel_job, submit_job
from sync.models import Job
from tests.support.job_kinds import COUNTING, claimed, job_of, submitted, write_to_row
from tests.support.jobs import end_leases
from webhooks.models import Source

pytestmark = pytest.mark.usefixtures("recorder")


def test_a_job_that_was_handed_back_for_later_is_due_when_it_is_submitted_again() -> None:
    key = submitted()
    claimed().hand_back(after=3600)
    assert claim_next_job(COUNTING) is None
    submit_job("counting", key)
    assert claimed().subject == key
    assert Job.objects.count() == 1


def test_a_job_that_is_submitted_while_it_runs_runs_once_more() -> None:
    key = submitted()
    job = claimed()
    submit_job("counting", key)
    assert claim_next_job(COUNTING) is None, "it runs already"
    job.hand_back(after=3600)
    assert claimed().subject == key


def test_what_is_handed_back_is_due_at_once_or_after_so_many_seconds() -> None:
    key = submitted()
    claimed().hand_back()
    job = claimed()
    assert job.subject == key
    job.hand_back(after=0.2)
    assert (claim_next_job(COUNTING), job_of(key).state) == (None, "waiting")
    while not find_due_kinds():
        pass
    assert claimed().subject == key


def test_a_job_that_waits_is_cancelled_at_once() -> None:
    key = submitted()
    assert cancel_job("counting", key)
    assert (job_of(key).state, claim_next_job(COUNTING)) == ("cancelled", None)
    assert not cancel_job("counting", key), "it has ended"


def test_whoever_runs_a_job_that_is_cancelled_hears_of_it_and_writes_nothing() -> None:
    key = submitted()
    job = claimed()
    assert cancel_job("counting", key)
    with pytest.raises(JobCancelled):
        write_to_row(job, "written after it was cancelled")
    with pytest.raises(JobCancelled):
        job.finish()
    end_leases()
    assert claim_next_job(COUNTING) is None
    assert Source.objects.get(pk=key).name != "written after it was cancelled"
    assert job_of(key).state == "cancelled"


def test_what_ended_can_be_submitted_anew() -> None:
    key = submitted()
    claimed().finish()
    submit_job("counting", key)
    assert [job.state for job in Job.objects.order_by("pk")] == ["done", "waiting"]
