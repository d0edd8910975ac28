"""Compares the verified requests that belong to no single event with their audit entries, in both directions: unusable
ones, and those with several events.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

from audit.entries.readable_rows import load_entries
from audit.format.signed_records import format_time
from audit.models import Entry
from config_schema.codes.reference import from_reference, to_reference
from exports.bundle.shipped.check_rows import Deletions, RowFault, compare_columns
from exports.bundle.unreadable_rows import read_values
from exports.damaged_values import READ_ERRORS
from webhooks.models import Receipt

PAGE_SIZE = 500
_EVENT_ACTIONS = ("webhook.received", "webhook.repeated")
_ACTIONS = ("webhook.unusable", "webhook.batch")
_COLUMNS = (
    *("uuid", "source_id", "verified_by", "size", "received_at", "answered_at", "status", "code", "is_final"),
    *("is_repeat", "event_count"),
)
ReadBody = Callable[[str], Mapping[str, Any]]


def uuid_of(reference: str) -> UUID | None:
    """Return the UUID of a reference, None for another text: an entry may name what never was."""
    try:
        return from_reference(reference)
    except ValueError:
        return None


def check_unusable_requests(
    read_body: ReadBody, load_deletions: Callable[[], Deletions]
) -> Iterator[RowFault]:
    """Yield the faults of these requests. `load_deletions` returns which rows and entries the log says were deleted.

    It is called after something was not found, so that what was deleted meanwhile is not a fault.
    """
    yield from _check_rows(read_body, load_deletions)
    yield from _check_entries(read_body, load_deletions)


def _check_rows(read_body: ReadBody, load_deletions: Callable[[], Deletions]) -> Iterator[RowFault]:
    """Find requests that have no entry: of the answer, or of one of their events where they have no answer yet.

    The entry of an old request may have been deleted.
    """
    after = 0
    columns = ("uuid", "answered_at", "received_at")
    while True:
        rows = Receipt.objects.filter(event=None, pk__gt=after).order_by("pk")
        keys = list(rows.values_list("pk", flat=True)[:PAGE_SIZE])
        if not keys:
            return
        after = keys[-1]
        page, unreadable = read_values(Receipt.objects.all(), keys, columns, "receipts")
        yield from unreadable
        answered = {to_reference(uuid): at for uuid, at, _ in page if at is not None}
        waiting = {to_reference(uuid): at for uuid, answered_at, at in page if answered_at is None}
        entries = Entry.objects.filter(action__in=_ACTIONS, at__in=set(answered.values()))
        known = {reference for reference, _ in _expected_rows(load_entries(entries), read_body)}
        unknown = {reference: at for reference, at in answered.items() if reference not in known}
        named = _named_batches(waiting.values(), read_body) if waiting else set()
        unnamed = {reference: at for reference, at in waiting.items() if reference not in named}
        deletions = load_deletions() if unknown or unnamed else Deletions()
        for times, what in ((unknown, "of its answer"), (unnamed, "of its arrival")):
            for reference, at in times.items():
                if at is None or not deletions.has_no_entries(format_time(at)):
                    yield RowFault(
                        "row-unexpected",
                        "receipts",
                        reference,
                        "",
                        f"is not in the audit log at the time {what}",
                    )


def _named_batches(times: Iterable[datetime | None], read_body: ReadBody) -> set[object]:
    """Return the receipts of requests with several events that entries of their events name, of these times."""
    at_times = {at for at in times if at is not None}
    named = set[object]()
    for entry in load_entries(Entry.objects.filter(action__in=_EVENT_ACTIONS, at__in=at_times)):
        with suppress(*READ_ERRORS):
            named.add(read_body(entry.body)["details"].get("batch"))
    return named


def _check_entries(read_body: ReadBody, load_deletions: Callable[[], Deletions]) -> Iterator[RowFault]:
    """Find entries whose request has no row, and rows that differ from their entry."""
    after = 0
    while True:
        entries = Entry.objects.filter(action__in=_ACTIONS, pk__gt=after).order_by("pk")
        page = load_entries(entries[:PAGE_SIZE])
        if not page:
            return
        after = page[-1].pk
        unreadable: list[RowFault] = []
        expected = dict(_expected_rows(page, read_body, unreadable))
        uuids = [uuid for reference in expected if (uuid := uuid_of(reference))]
        receipts = Receipt.objects.filter(event=None)
        keys = list(receipts.filter(uuid__in=uuids).values_list("pk", flat=True))
        rows, damaged = read_values(receipts, keys, _COLUMNS, "receipts")
        yield from (*unreadable, *damaged)
        stored = {to_reference(uuid): (uuid, *columns) for uuid, *columns in rows}
        missing = expected.keys() - stored.keys()
        before = load_deletions().events_before if missing else ""
        for reference, columns in expected.items():
            if reference in stored:
                yield from compare_columns("receipts", reference, _row(*stored[reference]), columns)
            elif str(columns.get("received", "")) >= before:
                yield RowFault(
                    "row-missing", "receipts", reference, "", "is in the audit log, but has no row"
                )


def _expected_row(entry: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    details = entry["details"]
    columns = {
        name: details[name] for name in ("verified_by", "size", "received", "final") if name in details
    }
    return details["receipt"], {
        **columns,
        "source": entry["stream"],
        "answered": entry["at"],
        "status": details["status"],
        "code": details["code"],
        "repeat": False,
        "event_count": details.get("count"),
    }


def _expected_rows(
    entries: Iterable[Entry], read_body: ReadBody, unreadable: list[RowFault] | None = None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield reference and columns of the row that each entry expects. Adds a fault for each that cannot be read."""
    for entry in entries:
        try:
            reference, columns = _expected_row(read_body(entry.body))
            if not isinstance(reference, str):
                raise TypeError("the reference is not text")
        except READ_ERRORS:
            if unreadable is not None:
                unreadable.append(RowFault("unreadable", "entries", entry.pk, "", "cannot be read"))
            continue
        yield reference, columns


def _row(*values: Any) -> dict[str, Any]:
    stored = dict(zip(_COLUMNS, values, strict=True))
    return {
        "source": f"setting:source:{stored['source_id']}",
        "verified_by": stored["verified_by"],
        "size": stored["size"],
        "received": stored["received_at"] and format_time(stored["received_at"]),
        "answered": stored["answered_at"] and format_time(stored["answered_at"]),
        "status": stored["status"],
        "code": stored["code"],
        "final": stored["is_final"],
        "repeat": stored["is_repeat"],
        "event_count": stored["event_count"],
    }
