"""Exports as people and workers see them: asked for, made by a worker, cancelled, deleted when their days are over."""

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
from exports.bundle.builder import delete_working_files, make_export
from exports.bundle.event_selection import NotSealed
from exports.bundle.sqlite_copy import NoTemporarySpace
from exports.models import Export, ExportState, TableFormat
from exports.subject_register import (
    clear_register,
    create_register_key,
    decrypt_register_key,
    pseudonymize_filter,
)
from exports.tables.xlsx_writer import TooManyRows
from sync.jobs import submission
from sync.jobs.claims import claim
from sync.jobs.run import always, run_job
from sync.jobs.running_job import GoesOn, JobCancelled, JobLost, JobStopped, Kind, RunningJob
from sync.models import JobState
from sync.search.event_filter import EventFilter

logger = logging.getLogger("hub.exports")

MAX_WAITING = 20
_JOB_KIND = "export"
_OPEN_STATES = (ExportState.WAITING, ExportState.RUNNING)


class TooManyExports(Exception):
    """So many exports wait that no more can be asked for. The text is for people."""


def request_export(
    event_filter: EventFilter, *, by: Any, reason: str, table: str = TableFormat.CSV, address: str = ""
) -> Export:
    """Ask for an export; `by` is a user, or None for a command. `TooManyExports`."""
    key = create_register_key()
    export = Export(
        requested_by=by,
        reason=reason,
        filter=event_filter.words(),
        table=table,
        created_at=timezone.now(),
        register_key=key,
    )
    with transaction.atomic():
        if Export.objects.filter(state__in=_OPEN_STATES).count() >= MAX_WAITING:
            raise TooManyExports(f"{MAX_WAITING} exports wait already: let one of them end, or cancel it.")
        export.save(force_insert=True)
        submission.submit(_JOB_KIND, export.pk)
        append_export_entry(
            export, "export.requested", export.actor, {"table": str(table), "address": address}
        )
    return export


def append_export_entry(export: Export, action: str, actor: str, details: Mapping[str, JSONValue]) -> None:
    """What happened to an export goes on the audit log, with its filter; people in it by pseudonym."""
    words = pseudonymize_filter(export.filter, decrypt_register_key(export))
    append_entries(NewEntry(export.stream, action, actor, {"filter": words, **details}))


def make_export_in_process(
    event_filter: EventFilter, *, reason: str, should_continue: GoesOn = always
) -> Export:
    """Make an export in this process, as the command does it: no worker sees it waiting, unless it may not go on.
    `TooManyExports`."""
    with transaction.atomic():
        export = request_export(event_filter, by=None, reason=reason)
        job = claim(EXPORT_JOB, export.pk)
    assert job is not None, "no other process has seen this uncommitted job"
    run_job(job, should_continue)
    export.refresh_from_db()
    return export


def run_export(job: RunningJob, should_continue: GoesOn) -> None:
    """Make an export, or go on with it, and say how it ended. `JobLost`, `JobStopped`; `DatabaseError` where the
    database is away: that is not its fault, and whoever takes it over goes on."""
    export = Export.objects.get(pk=job.subject)
    try:
        made = make_export(job, should_continue)
        _complete_export(export, job, made)
    except (JobStopped, OperationalError, InterfaceError):
        raise
    except JobLost as lost:
        if isinstance(lost, JobCancelled):
            delete_files(export)
        raise
    except (NotSealed, TooManyRows, NoTemporarySpace) as error:
        _fail_export(export, job, str(error))
    except OSError as error:
        _fail_export(export, job, f"The folder for exports cannot be written: {error.strerror or error}.")
    except Exception:
        logger.exception("%s failed", export)
        _fail_export(export, job, "An error of the hub itself; its log has it.")
    else:
        delete_working_files(export)


def _follow_job_state(key: int, state: JobState, failure: str) -> None:
    """Say on an export that its job waits, runs, or was given up."""
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


def _fail_export(export: Export, job: RunningJob, failure: str) -> None:
    with transaction.atomic():
        _write_failure(export, failure)
        job.fail(failure)
    delete_files(export)


def _write_failure(export: Export, failure: str) -> None:
    _end_export(export, ExportState.FAILED, "export.failed", {"failure": failure[:200]})


def _end_export(export: Export, state: ExportState, action: str, values: dict[str, Any]) -> None:
    """Say how it ended, if it is still open. In a transaction with its job's end, which says who may."""
    now = timezone.now()
    expires_at = now + timedelta(days=settings.EXPORT_DAYS)
    own = Export.objects.filter(pk=export.pk, state__in=_OPEN_STATES)
    if own.update(state=state, ended_at=now, expires_at=expires_at, **values):
        append_export_entry(export, action, "system", values)


def cancel_export(export: Export, *, by: str, address: str) -> bool:
    """End an export that is not made yet; whether it was in time. The worker notices within seconds."""
    with transaction.atomic():
        open_ones = Export.objects.filter(pk=export.pk, state__in=_OPEN_STATES)
        ended = open_ones.update(state=ExportState.CANCELLED, ended_at=timezone.now())
        if ended:
            submission.cancel(_JOB_KIND, export.pk)
            append_export_entry(export, "export.cancelled", by, {"address": address})
    return bool(ended)


def delete_expired_files() -> int:
    """Delete the files of exports whose days are over, and what cancelled ones left; how many exports ended so."""
    for over in Export.objects.filter(state__in=(ExportState.CANCELLED, ExportState.FAILED)):
        if over.folder.exists() or over.archive.exists():
            delete_files(over)
    expired = list(Export.objects.filter(state=ExportState.DONE, expires_at__lte=timezone.now()))
    for each in expired:
        expire_export(each)
    return len(expired)


def expire_export(export: Export) -> None:
    """Delete the files of an export that was made, whatever its days."""
    delete_files(export)
    with transaction.atomic():
        if Export.objects.filter(pk=export.pk, state=ExportState.DONE).update(state=ExportState.EXPIRED):
            append_export_entry(export, "export.expired", "system", {})


def delete_files(export: Export) -> None:
    """The archive and everything that it was made from; the register keeps whom an export contained that was made."""
    with suppress(OSError):  # a folder that is away cannot be cleaned; the next look tries again
        delete_working_files(export)
        for name in (".zip", ".part"):
            export.folder.with_suffix(name).unlink(missing_ok=True)
    if Export.objects.filter(pk=export.pk, state__in=(ExportState.CANCELLED, ExportState.FAILED)).exists():
        clear_register(export)


EXPORT_JOB = Kind(
    _JOB_KIND,
    run_export,
    _follow_job_state,
    _max_concurrent_exports,
    runs_apart=True,
    tidy_up=delete_expired_files,
)
