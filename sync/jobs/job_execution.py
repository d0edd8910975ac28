"""Run jobs that are claimed, and jobs that are due, in this thread."""

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import timedelta

from django.db import DatabaseError

from database.clock import database_now
from sync.jobs.claims import claim_next_job, find_due_kinds
from sync.jobs.kinds import job_kinds
from sync.jobs.running_job import JobLost, JobStopped, RunningJob, ShouldContinue
from sync.models import Job

logger = logging.getLogger("hub.jobs")

_RETRY_SECONDS = 10.0
_MAX_RETRY_SECONDS = 600.0
_RETENTION = timedelta(days=30)
_DELETE_BATCH = 500


def always_continue() -> bool:
    """Return True: for a caller that is never asked to stop."""
    return True


def run_job(job: RunningJob, should_continue: ShouldContinue = always_continue) -> None:
    """Run a job that this process has claimed.

    1. If the process is stopping, the job is requeued for the next worker.
    2. If the claim was lost, the worker that has the job continues it.
    3. After an error the job is retried after ten seconds, then after twice as long each time, ten minutes at most.

    Raises DatabaseError if the database is unavailable.
    """
    try:
        job.kind.run(job, should_continue)
    except JobStopped:
        logger.info(
            "%s %s is handed to the next worker, because this worker is stopping", job.kind.name, job.subject
        )
        # If the job was lost meanwhile, another worker has it already.
        with suppress(JobLost):
            job.requeue()
    except JobLost as lost:
        logger.info(
            "%s %s was taken over by another worker: %s", job.kind.name, job.subject, type(lost).__name__
        )
    except DatabaseError:
        # Not the fault of the job. Its lease ends, and another worker resumes it.
        raise
    except Exception:
        logger.exception("%s %s failed; it will be retried", job.kind.name, job.subject)
        errors = Job.objects.filter(pk=job.job_id).values_list("errors", flat=True).first() or 0
        with suppress(JobLost):
            job.postpone(min(_RETRY_SECONDS * 2**errors, _MAX_RETRY_SECONDS))


def run_next_jobs(
    should_continue: ShouldContinue = always_continue,
    kinds: Iterable[str] | None = None,
    run: Callable[[RunningJob, ShouldContinue], None] = run_job,
) -> int:
    """Run due jobs of these kinds, or of all, one after the other. Returns how many were run.

    Ends when nothing is due, or when `should_continue` returns False.
    """
    count = 0
    kinds_by_name = job_kinds()
    for name in find_due_kinds():
        if name not in kinds_by_name or (kinds is not None and name not in kinds):
            continue
        while should_continue() and (job := claim_next_job(kinds_by_name[name])) is not None:
            run(job, should_continue)
            count += 1
    return count


def clean_up_jobs() -> None:
    """Run the `clean_up` function of each kind, and delete jobs that ended a month ago."""
    for kind in job_kinds().values():
        if kind.clean_up is not None:
            try:
                kind.clean_up()
            except Exception:
                # The clean-up of the other kinds must not suffer.
                logger.exception("could not clean up after old jobs of the kind %s", kind.name)
    old = Job.objects.filter(ended_at__lt=database_now(plus_seconds=-_RETENTION.total_seconds()))
    # In batches, so that each transaction is short.
    while keys := list(old.values_list("pk", flat=True)[:_DELETE_BATCH]):
        Job.objects.filter(pk__in=keys).delete()
