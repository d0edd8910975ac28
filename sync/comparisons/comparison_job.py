"""The job of a comparison: read the records, walk the entities, confirm each difference, end.

It may be killed anywhere: each page and each batch is a commit, after which another worker continues. It runs in a
thread of the worker, because it mostly waits: for the systems that it reads, and for deliveries, which go first.
"""

from django.db import transaction

from connectors.contracts.errors import ConnectorError
from database.clock import read_clock
from sync.background_reads.paced_recorder import ReadsWait
from sync.comparisons.confirmation.confirmation_run import SystemsUnavailable, confirm_candidates
from sync.comparisons.requests import KIND
from sync.comparisons.result import append_ended_entry, delete_old_rows, end_comparison
from sync.comparisons.sides.comparison_run import ComparisonFailed, ComparisonRun
from sync.comparisons.sides.entity_walk import walk_next_entities
from sync.comparisons.sides.list_reading import postpone_reading
from sync.comparisons.sides.snapshot import read_next_records
from sync.jobs.running_job import JobKind, JobLost, RunningJob, ShouldContinue
from sync.models import (
    OPEN_COMPARISON_STATES,
    Comparison,
    ComparisonPhase,
    ComparisonState,
    Connection,
    JobState,
)

# Comparisons that may read one identity service at the same time; of a target there is one.
MAX_OF_IDENTITY = 2
# A system that cannot be read so often in a row ends the comparison: after about an hour.
MAX_FAILURES = 10
_CRASHED = "internal-failure"


def _run_job(job: RunningJob, should_continue: ShouldContinue) -> None:
    """Continue a comparison where it was interrupted. Raises JobLost, JobStopped."""
    run = ComparisonRun(_begin(job), job, should_continue)
    try:
        _read_sides(run)
        seconds = _confirm(run)
        if seconds is None:
            end_comparison(run)
        else:
            job.requeue(after=seconds)
    except ReadsWait as waits:
        _wait(run, waits)
    except ComparisonFailed as failed:
        _fail(run, failed.code)
    except ConnectorError as error:
        # Settings with which no request can be made.
        _wait(run, ReadsWait(error.code))


def _begin(job: RunningJob) -> Comparison:
    """Return the comparison; the first time, it gets the version of the mapping that both sides are compared by."""
    rows = Comparison.objects.select_related("route__mapping", "route__source", "identity", "target")
    comparison = rows.get(pk=job.subject)
    if comparison.mapping_version_id is None:
        comparison.mapping_version = comparison.route.mapping.versions.first()
        started = comparison.started_at or read_clock()
        Comparison.objects.filter(pk=comparison.pk).update(
            mapping_version=comparison.mapping_version, started_at=started
        )
        comparison.started_at = started
    return comparison


def _read_sides(run: ComparisonRun) -> None:
    while run.comparison.phase != ComparisonPhase.CONFIRMING:
        run.require_running()
        is_of_records = run.comparison.phase == ComparisonPhase.RECORDS
        (read_next_records if is_of_records else walk_next_entities)(run)


def _confirm(run: ComparisonRun) -> float | None:
    """Plan each candidate again. Returns the seconds until the rest can be confirmed, None if all are."""
    run.require_running()
    try:
        seconds = confirm_candidates(
            run.comparison, run.job, run.should_continue, run.make_recorder, (ReadsWait,)
        )
    except SystemsUnavailable as unavailable:
        raise ReadsWait(unavailable.code, unavailable.seconds) from unavailable
    # It writes the counts itself.
    run.comparison.refresh_from_db(fields=["counts", "unconfirmed", "field_counts", "position"])
    return seconds


def _wait(run: ComparisonRun, waits: ReadsWait) -> None:
    """Let the job run again later; end the comparison if a system could not be read MAX_FAILURES times in a row."""
    if not postpone_reading(run.job, waits, MAX_FAILURES):
        _fail(run, waits.code)


def _fail(run: ComparisonRun, code: str) -> None:
    """End a comparison that cannot be carried out, and its job."""
    with transaction.atomic():
        run.commit(state=ComparisonState.FAILED, failure=code[:48], ended_at=read_clock(), position=None)
        append_ended_entry(run.comparison)
        run.job.fail(code)
    delete_old_rows()


def _record_job_state(key: int, state: JobState, _failure: str) -> None:
    """Write the state of the job to its comparison.

    Raises IntegrityError if a comparison of the target runs, and JobLost if as many of the identity service do as may:
    then another job is tried.
    """
    rows = Comparison.objects.filter(pk=key, state__in=OPEN_COMPARISON_STATES)
    if state == JobState.FAILED:
        if rows.update(state=ComparisonState.FAILED, failure=_CRASHED, ended_at=read_clock(), position=None):
            append_ended_entry(Comparison.objects.get(pk=key))
        return
    if state == JobState.RUNNING:
        _require_turn(key)
    rows.update(state=ComparisonState(state))


def _require_turn(key: int) -> None:
    comparison = Comparison.objects.get(pk=key)
    # Two workers that claim at the same time see each other's comparisons.
    Connection.objects.select_for_update(no_key=True).values_list("pk").get(pk=comparison.identity_id)
    running = Comparison.objects.filter(identity=comparison.identity_id, state=ComparisonState.RUNNING)
    if running.exclude(pk=key).count() >= MAX_OF_IDENTITY:
        raise JobLost


COMPARISON = JobKind(KIND, _run_job, _record_job_state, clean_up=delete_old_rows)
