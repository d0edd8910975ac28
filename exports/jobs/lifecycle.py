"""Request, make, cancel and expire exports."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.utils import timezone

from audit.entries.append import NewEntry, append_entries
from audit.format.canonical_json import JSONValue
from exports.bundle.builder import AwaitsApproval, delete_working_files, make_export
from exports.bundle.event_selection import NotSealed
from exports.bundle.sqlite_copy import NoTemporarySpace
from exports.bundle.unreadable_rows import UnreadableRows
from exports.models import Export, ExportState, TableFormat
from exports.subject_register import (
    clear_register,
    create_register_key,
    decrypt_register_key,
    pseudonymize_filter,
)
from exports.tables.xlsx_writer import TooManyRows
from sync.jobs import submission
from sync.jobs.claims import claim_job_of
from sync.jobs.job_execution import always_continue, run_job
from sync.jobs.running_job import JobCancelled, JobKind, JobLost, JobStopped, RunningJob, ShouldContinue
from sync.models import JobState
from sync.search.event_filter import EventFilter

logger = logging.getLogger("hub.exports")

MAX_WAITING = 20
_JOB_KIND = "export"
_OPEN_STATES = (ExportState.WAITING, ExportState.RUNNING)
_UNDECIDED_STATES = (ExportState.AWAITING, *_OPEN_STATES)


class TooManyExports(Exception):
    """Raised if as many exports are waiting as may wait. The text is for people."""


def request_export(
    event_filter: EventFilter, *, by: Any, reason: str, table: str = TableFormat.CSV, address: str = ""
) -> Export:
    """Request an export. `by` is a user, or None for a command. Raises TooManyExports."""
    key = create_register_key()
    export = Export(
        requested_by=by,
        reason=reason,
        filter=event_filter.to_params(),
        table=table,
        created_at=timezone.now(),
        register_key=key,
    )
    with transaction.atomic():
        if Export.objects.filter(state__in=_UNDECIDED_STATES).count() >= MAX_WAITING:
            raise TooManyExports(
                f"{MAX_WAITING} exports are already waiting. Wait until one has finished, or cancel one."
            )
        export.save(force_insert=True)
        submit_export(export)
        append_export_entry(
            export, "export.requested", export.actor, {"table": str(table), "address": address}
        )
    return export


def submit_export(export: Export) -> None:
    """Let a worker make the export. Call it in the transaction that requests or approves it."""
    submission.submit_job(_JOB_KIND, export.pk)


def append_export_entry(export: Export, action: str, actor: str, details: Mapping[str, JSONValue]) -> None:
    """Append an audit entry about an export, with its filter; people named in the filter by pseudonym."""
    params = pseudonymize_filter(export.filter, decrypt_register_key(export))
    append_entries(NewEntry(export.stream, action, actor, {"filter": params, **details}))


def make_export_in_process(
    event_filter: EventFilter, *, reason: str, should_continue: ShouldContinue = always_continue
) -> Export:
    """Make an export in this process, for the command. No worker sees it, unless `should_continue` ends it early.

    Returns the export as it ended. Raises TooManyExports.
    """
    with transaction.atomic():
        # In one transaction with the claim, so that no worker can claim the job first.
        export = request_export(event_filter, by=None, reason=reason)
        job = claim_job_of(EXPORT_JOB, export.pk)
    assert job is not None, "no other process has seen this uncommitted job"
    run_job(job, should_continue)
    export.refresh_from_db()
    return export


def run_export(job: RunningJob, should_continue: ShouldContinue) -> None:
    """Make an export, or resume it, and record how it ended.

    Raises JobLost and JobStopped, and DatabaseError if the database is unavailable: that does not fail the export, and
    the next run resumes it.
    """
    export = Export.objects.get(pk=job.subject)
    try:
        values = make_export(job, should_continue)
        _complete_export(export, job, values)
    # No failure of the export: another run resumes it.
    except (JobStopped, OperationalError, InterfaceError):
        raise
    except JobLost as lost:
        # Nothing resumes a cancelled export; a lost one belongs to another run now, files included.
        if isinstance(lost, JobCancelled):
            delete_files(export)
        raise
    except AwaitsApproval:
        _await_approval(export, job)
    except (NotSealed, TooManyRows, NoTemporarySpace, UnreadableRows) as error:
        _fail_export(export, job, str(error))
    except OSError as error:
        _fail_export(export, job, f"The export folder cannot be written: {error.strerror or error}.")
    except Exception:
        logger.exception("%s failed", export)
        _fail_export(export, job, "An internal error. An administrator can find it in the log.")
    else:
        delete_working_files(export)


def _follow_job_state(key: int, state: JobState, failure: str) -> None:
    """Copy the state of its job to an export: waiting, running, or failed."""
    if state == JobState.FAILED:
        _write_failure(Export.objects.get(pk=key), failure)
    else:
        Export.objects.filter(pk=key, state__in=_OPEN_STATES).update(state=state)


def _max_concurrent_exports() -> int:
    return int(settings.EXPORTS_AT_ONCE)


def _complete_export(export: Export, job: RunningJob, values: dict[str, Any]) -> None:
    with transaction.atomic():
        _end_export(export, ExportState.DONE, "export.completed", values)
        job.finish()


def _await_approval(export: Export, job: RunningJob) -> None:
    """Keep the request for a second person, without the files."""
    with transaction.atomic():
        # Compare-and-set: an export that was cancelled meanwhile stays cancelled.
        if Export.objects.filter(pk=export.pk, state__in=_OPEN_STATES).update(state=ExportState.AWAITING):
            export.refresh_from_db()
            append_export_entry(export, "export.awaits-approval", "system", {"events": export.total})
        job.finish()
    delete_working_files(export)


def _fail_export(export: Export, job: RunningJob, failure: str) -> None:
    with transaction.atomic():
        _write_failure(export, failure)
        job.fail(failure)
    delete_files(export)


def _write_failure(export: Export, failure: str) -> None:
    _end_export(export, ExportState.FAILED, "export.failed", {"failure": failure[:200]})


def _end_export(export: Export, state: ExportState, action: str, values: dict[str, Any]) -> None:
    """Record how the export ended, if it is still open. Call it in the transaction that ends the job."""
    now = timezone.now()
    expires_at = now + timedelta(days=settings.EXPORT_DAYS)
    # Compare-and-set: an export that was cancelled meanwhile stays cancelled.
    own = Export.objects.filter(pk=export.pk, state__in=_OPEN_STATES)
    if own.update(state=state, ended_at=now, expires_at=expires_at, **values):
        append_export_entry(export, action, "system", values)


def cancel_export(export: Export, *, by: str, address: str) -> bool:
    """Cancel an export that is not finished yet, or reject or withdraw one that awaits a second person.

    Returns True if it was in time. The worker notices within seconds.
    """
    with transaction.atomic():
        # Compare-and-set: an export that a worker has just finished stays finished.
        open_exports = Export.objects.filter(pk=export.pk, state__in=_UNDECIDED_STATES)
        ended = open_exports.update(state=ExportState.CANCELLED, ended_at=timezone.now())
        if ended:
            submission.cancel_job(_JOB_KIND, export.pk)
            append_export_entry(export, "export.cancelled", by, {"address": address})
    return bool(ended)


def delete_expired_files() -> int:
    """Delete the files of expired exports, and what cancelled and failed ones left. Returns the number that
    expired.
    """
    for export in Export.objects.filter(state__in=(ExportState.CANCELLED, ExportState.FAILED)):
        # A worker may still have been writing when the export ended.
        if export.folder.exists() or export.archive.exists():
            delete_files(export)
    expired = list(Export.objects.filter(state=ExportState.DONE, expires_at__lte=timezone.now()))
    for export in expired:
        expire_export(export)
    return len(expired)


def expire_export(export: Export) -> None:
    """Delete the files of a finished export, whatever its expiry date."""
    # The files first: if the process ends in between, the export still counts as finished and is tried again.
    delete_files(export)
    with transaction.atomic():
        if Export.objects.filter(pk=export.pk, state=ExportState.DONE).update(state=ExportState.EXPIRED):
            append_export_entry(export, "export.expired", "system", {})


def delete_files(export: Export) -> None:
    """Delete the archive and the files that it was packed from.

    The register stays for an export that was finished, and is cleared for one that was cancelled or failed.
    """
    # A folder that is not mounted cannot be cleaned; the next call tries again.
    with suppress(OSError):
        delete_working_files(export)
        for name in (".zip", ".part"):
            export.folder.with_suffix(name).unlink(missing_ok=True)
    if Export.objects.filter(pk=export.pk, state__in=(ExportState.CANCELLED, ExportState.FAILED)).exists():
        clear_register(export)


EXPORT_JOB = JobKind(
    _JOB_KIND,
    run_export,
    _follow_job_state,
    _max_concurrent_exports,
    runs_in_subprocess=True,
    clean_up=delete_expired_files,
)
