"""Exports as people and workers see them: asked for, made by a worker, cancelled, deleted when their days are over."""

import logging
from collections.abc import Callable, Mapping
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
from exports.claims import Claim, Lost, Stopped, claim, claim_next
from exports.models import Export, ExportState, Table
from exports.subject_register import new_key, opened_key, unregister, without_people
from exports.tables.xlsx_writer import TooManyRows
from sync.execution.periodic import Every, Work, run_periodic
from sync.search.event_filter import EventFilter

logger = logging.getLogger("hub.exports")

MOST_WAITING = 20
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
        record(export, "export.requested", export.actor, {"table": str(table), "address": address})
    return export


def record(export: Export, action: str, actor: str, details: Mapping[str, JSONValue]) -> None:
    """What happened to an export goes on the audit log, with its filter; people in it by pseudonym."""
    words = without_people(export.filter, opened_key(export))
    append(Happening(export.stream, action, actor, {"filter": words, **details}))


def make_here(meant: EventFilter, *, reason: str, goes_on: Callable[[], bool] = lambda: True) -> Export:
    """Make an export in this process, as the command does it: no worker sees it waiting, unless it may not go on.
    `TooMany`."""
    with transaction.atomic():
        export = request_export(meant, by=None, reason=reason)
        taken = claim(export.pk)
    assert taken is not None, "nobody else has seen it"
    run(taken, goes_on)
    export.refresh_from_db()
    return export


def run(taken: Claim, goes_on: Callable[[], bool] = lambda: True) -> None:
    """Make it and say how it ended. A database that is away is not its fault: whoever looks later goes on."""
    export = Export.objects.get(pk=taken.export_id)
    try:
        made = make(taken, goes_on)
        _end(export, taken, ExportState.DONE, "export.completed", made)
    except Stopped:
        with suppress(Lost):
            taken.hand_back()
        logger.info("%s is left to the next worker, for this one ends", export)
        return
    except Lost:
        logger.info("%s was cancelled or taken by another worker", export)
        if not Export.objects.filter(pk=export.pk, state__in=_OPEN).exists():
            delete_files(export)
        return
    except (OperationalError, InterfaceError):
        raise
    except (NotSealed, TooManyRows, NoRoom) as error:
        _fail(export, taken, str(error))
    except OSError as error:
        _fail(export, taken, f"The folder for exports cannot be written: {error.strerror or error}.")
    except Exception:
        logger.exception("%s failed", export)
        _fail(export, taken, "An error of the hub itself; its log has it.")
    else:
        remove_work(export)


def look(
    goes_on: Callable[[], bool] = lambda: True, make_it: Callable[[Claim, Callable[[], bool]], None] = run
) -> None:
    """A worker's look: delete what is over, and make the next export. Where it may not go on, another worker does."""
    run_periodic((Work("exports", Every(600.0), delete_expired),))
    taken = claim_next() if goes_on() else None
    if taken is not None:
        make_it(taken, goes_on)


def _end(export: Export, taken: Claim, state: ExportState, action: str, values: dict[str, Any]) -> None:
    now = timezone.now()
    with transaction.atomic():
        expires_at = now + timedelta(days=settings.EXPORT_DAYS)
        taken.end(state, ended_at=now, expires_at=expires_at, **values)
        record(export, action, "system", values)


def _fail(export: Export, taken: Claim, why: str) -> None:
    _end(export, taken, ExportState.FAILED, "export.failed", {"failure": why[:200]})
    delete_files(export)


def cancel(export: Export, *, by: str, address: str) -> bool:
    """End an export that is not made yet; whether it was in time. The worker notices within seconds."""
    free = {"token": None, "lease_until": None, "slot": None}
    with transaction.atomic():
        open_ones = Export.objects.filter(pk=export.pk, state__in=_OPEN)
        ended = open_ones.update(state=ExportState.CANCELLED, ended_at=timezone.now(), **free)
        if ended:
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
