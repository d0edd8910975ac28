"""Jobs, run in this process as a worker would run them."""

from datetime import timedelta

from django.db.models import F
from django.utils import timezone

from sync.jobs.claims import claim_next_job
from sync.jobs.job_execution import always_continue, run_next_jobs
from sync.jobs.kinds import job_kinds
from sync.jobs.running_job import ShouldContinue
from sync.models import Job


def run_jobs(*kinds: str, should_continue: ShouldContinue = always_continue) -> int:
    """Run all waiting jobs of these kinds (default: all kinds), due or not. Returns how many were run."""
    Job.objects.filter(state="waiting").update(due_at=F("submitted_at"))
    return run_next_jobs(should_continue, kinds or None)


def end_leases() -> None:
    """Expire the leases of all running jobs, as if their workers had died."""
    Job.objects.filter(state="running").update(lease_until=timezone.now() - timedelta(seconds=1))


def die_three_times(kind: str) -> None:
    """Let three workers claim the next job of a kind and die; a fourth claim marks the job as failed."""
    for _ in range(3):
        assert claim_next_job(job_kinds()[kind]) is not None
        end_leases()
    assert claim_next_job(job_kinds()[kind]) is None
