"""Jobs, run in this process as a worker would run them."""

from datetime import timedelta

from django.db.models import F
from django.utils import timezone

from sync.jobs.claims import claim_next_job
from sync.jobs.job_execution import always_continue, run_next_jobs
from sync.jobs.kinds import job_kinds
from sync.jobs.running_job import ShouldContinue
from sync.models import Job


def run_jobs(*kinds: str, goes_on: ShouldContinue = always_continue) -> int:
    """Run what waits of these kinds, or of all, however soon it is due. Returns how many jobs were run."""
    Job.objects.filter(state="waiting").update(due_at=F("submitted_at"))
    return run_next_jobs(goes_on, kinds or None)


def end_leases() -> None:
    """As if every worker that runs a job had died a minute ago."""
    Job.objects.filter(state="running").update(lease_until=timezone.now() - timedelta(seconds=1))


def die_three_times(kind: str) -> None:
    """Three workers claim the next job of a kind, and die in it; a fourth one gives it up."""
    for _ in range(3):
        assert claim_next_job(job_kinds()[kind]) is not None
        end_leases()
    assert claim_next_job(job_kinds()[kind]) is None
