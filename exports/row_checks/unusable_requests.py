"""Compares the verified requests that belong to no single event with their audit entries, in both directions: unusable
ones, and those with several events.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from uuid import UUID

from audit.entries.readable_rows import load_entries
from audit.format.signed_records import format_time
from audit.models import Entry
from exports.bundle.shipped.check_rows import Deletions, RowFault, compare_columns
from exports.bundle.unreadable_rows import READ_ERRORS, read_values
from webhooks.catalogue.reference import from_reference, to_reference
from webhooks.models import Receipt

PAGE_SIZE = 500
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

    It is called after something was not found, so that what was deleted meanwhile is no fault.
    """
    yield from _check_rows(read_body, load_deletions)
    yield from _check_entries(read_body, load_deletions)


def _check_rows(read_body: ReadBody, load_deletions: Callable[[], Deletions]) -> Iterator[RowFault]:
    """Find answered requests that have no entry. One that is not answered has none yet.

    The entry of an old request may have been deleted.
    """
    after = 0
    while True:
        rows = Receipt.objects.filter(event=None, answered_at__isnull=False, pk__gt=after).order_by("pk")
        keys = list(rows.values_list("pk", flat=True)[:PAGE_SIZE])
        if not keys:
            return
        after = keys[-1]
        page, unreadable = read_values(Receipt.objects.all(), keys, ("uuid", "answered_at"), "receipts")
        yield from unreadable
        entries = Entry.objects.filter(action__in=_ACTIONS, at__in={at for _, at in page if at is not None})
        known = {reference for reference, _ in _expected_rows(load_entries(entries), read_body)}
        unknown = [(to_reference(uuid), at) for uuid, at in page if to_reference(uuid) not in known]
        deletions = load_deletions() if unknown else Deletions()
        for reference, at in unknown:
            if at is None or not deletions.has_no_entries(format_time(at)):
                yield RowFault(
                    "row-unexpected",
                    "receipts",
                    reference,
                    "",
                    "is not in the audit log at the time of its answer",
                )


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
                raise TypeError("the reference is no text")
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
