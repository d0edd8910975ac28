"""The job of a try: walk the entities, count what becomes of each, end.

It may be killed anywhere: each page is a commit, after which another worker continues. It only reads.
"""

from django.db import transaction

from connectors.contracts.errors import ConnectorError
from database.clock import read_clock
from sync.background_reads.paced_recorder import ReadsWait
from sync.comparisons.list_gaps import allowed_missing
from sync.comparisons.sides.list_reading import postpone_reading
from sync.jobs.running_job import JobKind, RunningJob, ShouldContinue
from sync.models import OPEN_JOB_STATES, ConditionTry, JobState, find_links
from sync.scope_tries.entity_sources import read_entities
from sync.scope_tries.requests import KIND, append_try_entry, delete_old_tries
from sync.scope_tries.try_run import ConditionTryRun, TryFailed

MAX_AT_ONCE = 2
# A person waits for it: an identity service that cannot be read so often in a row ends it, after about ten minutes.
MAX_FAILURES = 5
_CRASHED = "internal-failure"


def _run_job(job: RunningJob, should_continue: ShouldContinue) -> None:
    """Continue a try where it was interrupted. Raises JobLost, JobStopped."""
    row = ConditionTry.objects.filter(pk=job.subject).first()
    if row is None:
        # It was deleted with its route.
        job.finish()
        return
    run = ConditionTryRun(row, job, should_continue)
    try:
        read_entities(run)
        _end(run)
    except ReadsWait as waits:
        _wait(run, waits)
    except TryFailed as failed:
        _fail(run, failed.code)
    except ConnectorError as error:
        # Settings with which no request can be made.
        _fail(run, error.code)


def _end(run: ConditionTryRun) -> None:
    """End a try that has read all that there is. A list that lacks many linked entities is not complete."""
    row = run.row
    linked = find_links(row).filter(left_scope_at=None).count()
    is_complete = row.is_complete and linked - row.read_linked <= allowed_missing(row.route, linked)
    result = {"linked_count": linked, "is_complete": is_complete}
    with transaction.atomic():
        run.commit(state=JobState.DONE, ended_at=read_clock(), position=None, **result)
        _append_ended_entry(run.row)
        run.job.finish()


def _wait(run: ConditionTryRun, waits: ReadsWait) -> None:
    """Let the job run again later, and say why."""
    if not postpone_reading(run.job, waits, MAX_FAILURES):
        _fail(run, waits.code)
        return
    ConditionTry.objects.filter(pk=run.row.pk, state=JobState.WAITING).update(problem=waits.code[:48])


def _fail(run: ConditionTryRun, code: str) -> None:
    with transaction.atomic():
        run.commit(state=JobState.FAILED, failure=code[:48], ended_at=read_clock(), position=None)
        _append_ended_entry(run.row)
        run.job.fail(code)


def _append_ended_entry(row: ConditionTry) -> None:
    append_try_entry(
        row,
        "route.condition-try-ended",
        None,
        {
            "state": str(row.state),
            "reads": str(row.reads),
            "counts": {str(outcome): number for outcome, number in row.counts.items()},
            "linked": row.linked_count,
            "complete": row.is_complete,
            "failure": row.failure,
        },
    )


def _record_job_state(key: int, state: JobState, _failure: str) -> None:
    """Write the state of the job to its try."""
    rows = ConditionTry.objects.filter(pk=key, state__in=OPEN_JOB_STATES)
    if state != JobState.FAILED:
        rows.update(state=state)
    elif rows.update(state=state, failure=_CRASHED, ended_at=read_clock(), position=None):
        _append_ended_entry(ConditionTry.objects.get(pk=key))


CONDITION_TRY = JobKind(KIND, _run_job, _record_job_state, lambda: MAX_AT_ONCE, clean_up=delete_old_tries)
