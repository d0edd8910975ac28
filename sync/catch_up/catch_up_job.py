"""The job of a catch-up: read what changed, make events of it, end.

It may be killed anywhere: each page and each batch of events is a commit, after which another worker continues.
"""

import logging

from django.db import transaction

from database.clock import read_clock
from sync.background_reads.paced_recorder import ReadsWait
from sync.catch_up.catch_up_run import CatchUpRun
from sync.catch_up.event_making import make_due_events
from sync.catch_up.list_reading import ListFailed, begin_place, read_changes
from sync.jobs.running_job import JobKind, RunningJob, ShouldContinue
from sync.models import CatchUp

logger = logging.getLogger("hub.jobs")

KIND = "catch-up"
# Reasons for which a run waits and goes on; with any other it ends, and the next one tries again.
_SHORT_WAITS = ("deliveries-wait", "rate-limited")


def _run_job(job: RunningJob, should_continue: ShouldContinue) -> None:
    """Run a catch-up, or continue one where it was interrupted. Raises JobLost, JobStopped."""
    row = CatchUp.objects.select_related("identity").filter(pk=job.subject).first()
    if row is None:
        # Switched off.
        job.finish()
        return
    run = CatchUpRun(row, job, should_continue)
    if not row.is_running:
        _begin(run)
    failure = ""
    try:
        read_changes(run)
    except ReadsWait as waits:
        if waits.code in _SHORT_WAITS:
            job.requeue(after=max(1.0, waits.seconds))
            return
        failure = waits.code
    except ListFailed as failed:
        failure = failed.code
    # What was read before a failure has changed all the same.
    make_due_events(run)
    _end(run, failure)


def _begin(run: CatchUpRun) -> None:
    with transaction.atomic():
        position = begin_place(run).to_json()
        run.commit(is_running=True, began_at=read_clock(), position=position, listed=0, made=0, skipped=0)


def _end(run: CatchUpRun, failure: str) -> None:
    """End the run and its job. The schedule begins the next one, also after a failure."""
    row = run.row
    with transaction.atomic():
        values = {}
        if failure:
            values = {"failure": failure[:48], "failing_since": row.failing_since or read_clock()}
            logger.info("the catch-up of %s failed: %s", row, failure)
        run.commit(is_running=False, **values)
        run.job.finish()


CATCH_UP = JobKind(KIND, _run_job)
