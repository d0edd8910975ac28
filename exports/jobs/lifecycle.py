"""Exports as people and workers see them: asked for, made by a worker, cancelled, deleted when their days are over."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.utils import timezone

from audit.entries.append import Happening, append
from audit.format.canonical_json import JSONValue
from exports.bundle.builder import make, remove_work
from exports.bundle.event_selection import NotSealed
from exports.bundle.sqlite_copy import NoRoom
from exports.models import Export, ExportState, Table
from exports.subject_register import new_key, opened_key, unregister, without_people
from exports.tables.xlsx_writer import TooManyRows
from sync.jobs import submission
from sync.jobs.claims import claim
from sync.jobs.run import always, run_job
from sync.jobs.running_job import GoesOn, JobCancelled, JobLost, JobStopped, Kind, RunningJob
from sync.models import JobState
from sync.search.event_filter import EventFilter

logger = logging.getLogger("hub.exports")

MOST_WAITING = 20
_KIND = "export"
_OPEN = (ExportState.WAITING, ExportState.RUNNING)


class TooMany(Exception):
    """So many exports wait that no more can be asked for. The text is for people."""


def request_export(
    meant: EventFilter, *, by: Any, reason: str, table: str = Table.CSV, address: str = ""
) -> Export:
    """Ask for an export; `by` is a user, or None for a command. `TooMany`."""
    key = new_key()
    export = Export(
        requested_by=by,
        reason=reason,
        filter=meant.words(),
        table=table,
        created_at=timezone.now(),
        register_key=key,
    )
    with transaction.atomic():
        if Export.objects.filter(state__in=_OPEN).count() >= MOST_WAITING:
            raise TooMany(f"{MOST_WAITING} exports wait already: let one of them end, or cancel it.")
        export.save(force_insert=True)
        submission.submit(_KIND, export.pk)
        record(export, "export.requested", export.actor, {"table": str(table), "address": address})
    return export


def record(export: Export, action: str, actor: str, details: Mapping[str, JSONValue]) -> None:
    """What happened to an export goes on the audit log, with its filter; people in it by pseudonym."""
    words = without_people(export.filter, opened_key(export))
    append(Happening(export.stream, action, actor, {"filter": words, **details}))


def make_here(meant: EventFilter, *, reason: str, goes_on: GoesOn = always) -> Export:
    """Make an export in this process, as the command does it: no worker sees it waiting, unless it may not go on.
    `TooMany`."""
    with transaction.atomic():
        export = request_export(meant, by=None, reason=reason)
        job = claim(EXPORT, export.pk)
    assert job is not None, "no other process has seen this uncommitted job"
    run_job(job, goes_on)
    export.refresh_from_db()
    return export


def run(job: RunningJob, goes_on: GoesOn) -> None:
    """Make an export, or go on with it, and say how it ended. `JobLost`, `JobStopped`; `DatabaseError` where the
    database is away: that is not its fault, and whoever takes it over goes on."""
    export = Export.objects.get(pk=job.subject)
    try:
        made = make(job, goes_on)
        _complete(export, job, made)
    except (JobStopped, OperationalError, InterfaceError):
        raise
    except JobLost as lost:
        if isinstance(lost, JobCancelled):
            delete_files(export)
        raise
    except (NotSealed, TooManyRows, NoRoom) as error:
        _fail(export, job, str(error))
    except OSError as error:
        _fail(export, job, f"The folder for exports cannot be written: {error.strerror or error}.")
    except Exception:
        logger.exception("%s failed", export)
        _fail(export, job, "An error of the hub itself; its log has it.")
    else:
        remove_work(export)


def _follow(key: int, state: JobState, failure: str) -> None:
    """Say on an export that its job waits, runs, or was given up."""
    if state == JobState.FAILED:
        _write_failure(Export.objects.get(pk=key), failure)
    else:
        Export.objects.filter(pk=key, state__in=_OPEN).update(state=state)


def _at_once() -> int:
    return int(settings.EXPORTS_AT_ONCE)


def _complete(export: Export, job: RunningJob, values: dict[str, Any]) -> None:
    with transaction.atomic():
        _end(export, ExportState.DONE, "export.completed", values)
        job.finish()


def _fail(export: Export, job: RunningJob, why: str) -> None:
    with transaction.atomic():
        _write_failure(export, why)
        job.fail(why)
    delete_files(export)


def _write_failure(export: Export, why: str) -> None:
    _end(export, ExportState.FAILED, "export.failed", {"failure": why[:200]})


def _end(export: Export, state: ExportState, action: str, values: dict[str, Any]) -> None:
    """Say how it ended, if it is still open. In a transaction with its job's end, which says who may."""
    now = timezone.now()
    expires_at = now + timedelta(days=settings.EXPORT_DAYS)
    own = Export.objects.filter(pk=export.pk, state__in=_OPEN)
    if own.update(state=state, ended_at=now, expires_at=expires_at, **values):
        record(export, action, "system", values)


def cancel(export: Export, *, by: str, address: str) -> bool:
    """End an export that is not made yet; whether it was in time. The worker notices within seconds."""
    with transaction.atomic():
        open_ones = Export.objects.filter(pk=export.pk, state__in=_OPEN)
        ended = open_ones.update(state=ExportState.CANCELLED, ended_at=timezone.now())
        if ended:
            submission.cancel(_KIND, export.pk)
            record(export, "export.cancelled", by, {"address": address})
    return bool(ended)


def delete_expired() -> int:
    """Delete the files of exports whose days are over, and what cancelled ones left; how many exports ended so."""
    for over in Export.objects.filter(state__in=(ExportState.CANCELLED, ExportState.FAILED)):
        if over.folder.exists() or over.archive.exists():
            delete_files(over)
    expired = list(Export.objects.filter(state=ExportState.DONE, expires_at__lte=timezone.now()))
    for each in expired:
        expire(each)
    return len(expired)


def expire(export: Export) -> None:
    """Delete the files of an export that was made, whatever its days."""
    delete_files(export)
    with transaction.atomic():
        if Export.objects.filter(pk=export.pk, state=ExportState.DONE).update(state=ExportState.EXPIRED):
            record(export, "export.expired", "system", {})


def delete_files(export: Export) -> None:
    """The archive and everything that it was made from; the register keeps whom an export contained that was made."""
    with suppress(OSError):  # a folder that is away cannot be cleaned; the next look tries again
        remove_work(export)
        for name in (".zip", ".part"):
            export.folder.with_suffix(name).unlink(missing_ok=True)
    if Export.objects.filter(pk=export.pk, state__in=(ExportState.CANCELLED, ExportState.FAILED)).exists():
        unregister(export)


EXPORT = Kind(_KIND, run, _follow, _at_once, runs_apart=True, tidy_up=delete_expired)
