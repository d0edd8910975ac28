"""Compares all rows about events with the audit log, page by page, with the code that checks an export.

Each page is read in a snapshot of its own, with all entries of its streams, so that running deliveries raise no false
alarm and no snapshot is long. Memory does not grow with the number of events. A value that cannot be read is a fault of
its row or entry, and ends no check: otherwise it would hide what was changed elsewhere.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.db import connection
from django.utils import timezone

from audit.format.signed_records import format_time
from audit.models import Entry
from config_schema.codes.reference import to_reference
from database.snapshot import read_snapshot
from exports.bundle.export_rows import read_rows
from exports.bundle.schema import TABLES
from exports.bundle.shipped.check_rows import Deletions, EventRows, RowFault, check_event
from exports.bundle.unreadable_rows import (
    name_event,
    read_values,
    unreadable_faults,
)
from exports.damaged_values import READ_ERRORS, is_damage
from exports.row_checks.destroyed_keys import find_destroyed_keys
from exports.row_checks.entity_sequences import check_entity_sequences
from exports.row_checks.opened_payloads import check_opened_payloads
from exports.row_checks.recorded_deletions import RecordedDeletions, StoredDeletions
from exports.row_checks.setting_names import find_renamed_settings
from exports.row_checks.stored_payloads import check_stored_payloads
from exports.row_checks.stray_rows import find_stray_rows
from exports.row_checks.unusable_requests import ReadBody, check_unusable_requests, uuid_of
from sync.models import Attempt, Delivery
from webhooks.models import Event, Receipt, Source

logger = logging.getLogger("hub.audit")

PAGE_SIZE = 500  # events
_STREAM = "event:"
Streams = Mapping[str, Sequence[Mapping[str, Any]]]


def find_row_faults() -> Iterator[str]:
    """Yield each disagreement between the rows and the entries of the audit log, with its code and place."""
    checker = _RowCheck(json.loads)
    opens_payloads = partial(check_opened_payloads, day=timezone.now().date())
    for page in (checker.check_events, checker.check_missing_events, opens_payloads):
        after: int | None = 0
        while after is not None:
            with page_snapshot():
                after, faults = page(after)
            yield from map(_fault_text, faults)
    yield from map(_fault_text, check_unusable_requests(json.loads, checker.deletions.load))
    yield from map(_fault_text, find_stray_rows())
    with page_snapshot():
        others = [*find_renamed_settings(), *find_destroyed_keys(checker.deletions.load())]
    yield from map(_fault_text, others)
    yield from map(_fault_text, checker.deletions.unreadable.values())


def _fault_text(fault: RowFault) -> str:
    return f"[{fault.code}] {fault}"


class _RowCheck:
    """Reads and checks one page after the other."""

    def __init__(self, read_body: ReadBody) -> None:
        self._read_body = read_body
        self.deletions = RecordedDeletions(read_body)

    def check_events(self, after: int) -> tuple[int | None, list[RowFault]]:
        """Check the next events with the rows under them. Returns the last key, None at the end, and the faults."""
        keys = list(
            Event.objects.filter(pk__gt=after).order_by("pk").values_list("pk", flat=True)[:PAGE_SIZE]
        )
        if not keys:
            return None, []
        return keys[-1], self._check_events_of(keys)

    def _check_events_of(self, keys: Sequence[int]) -> list[RowFault]:
        """Check these events. One with something that cannot be read is found by halves, and the others are checked."""
        try:
            return self._compare_events(keys)
        except READ_ERRORS as error:
            if not is_damage(error):
                raise
            if len(keys) == 1:
                return list(unreadable_faults(keys[0])) or [_unreadable_entry(keys[0])]
        half = len(keys) // 2
        return [*self._check_events_of(keys[:half]), *self._check_events_of(keys[half:])]

    def _compare_events(self, keys: Sequence[int]) -> list[RowFault]:
        tables = {
            table.name: [dict(zip(table.column_names, row, strict=True)) for row in rows]
            for table, rows in zip(TABLES, read_rows(keys).values(), strict=True)
        }
        _add_page_columns(tables, keys)
        streams = self._read_streams(tables)
        faults = self._check_page(keys, tables, streams, self.deletions.newest or self.deletions.load())
        # A row that refers to no source is in no page and in no export.
        if len(tables["events"]) < len(keys):
            return [*faults, *_unread_events(keys)]
        # Something may have been deleted, as the log says, since that was read.
        if faults:
            faults = self._check_page(keys, tables, streams, self.deletions.load())
        return faults

    def _check_page(
        self,
        keys: Sequence[int],
        tables: Mapping[str, Sequence[dict[str, Any]]],
        streams: Streams,
        deletions: StoredDeletions,
    ) -> list[RowFault]:
        faults: list[RowFault] = []
        children = {name: _by_parent(tables[name], "event") for name in ("receipts", "deliveries")}
        attempts, calls = _by_parent(tables["attempts"], "delivery"), _by_parent(tables["calls"], "attempt")
        checked: list[EventRows] = []
        for event in tables["events"]:
            reference = event["reference"]
            deliveries = children["deliveries"][reference]
            tried = [row for delivery in deliveries for row in attempts[delivery["delivery"]]]
            rows = EventRows(
                event,
                children["receipts"][reference],
                deliveries,
                tried,
                [call for attempt in tried for call in calls[attempt["attempt"]]],
            )
            checked.append(rows)
            faults += check_event(rows, streams, deletions)
            faults += _check_repeated_columns(event, rows.receipts, deliveries)
            faults += _check_first_entry(event, streams.get(f"{_STREAM}{reference}", ()), deletions)
        return [
            *faults,
            *check_entity_sequences(checked, streams, deletions),
            *check_stored_payloads(keys, tables, streams, deletions),
        ]

    def _read_streams(self, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> Streams:
        names = [f"{_STREAM}{row['reference']}" for row in tables["events"]]
        names += [f"delivery:{row['event']}:{row['route']}" for row in tables["deliveries"]]
        streams = defaultdict(list)
        for start in range(0, len(names), PAGE_SIZE):
            entries = Entry.objects.filter(stream__in=names[start : start + PAGE_SIZE])
            for entry in entries.order_by("stream", "stream_seq").iterator(2_000):
                streams[entry.stream].append(self._read_body(entry.body))
        return streams

    def check_missing_events(self, after: int) -> tuple[int | None, list[RowFault]]:
        """Find events of the log that have no row. Returns the id of the last entry, None at the end."""
        first = Entry.objects.filter(pk__gt=after, stream_seq=1, stream__startswith=_STREAM).order_by("pk")
        keys = list(first.values_list("pk", flat=True)[:PAGE_SIZE])
        if not keys:
            return None, []
        entries, unreadable = read_values(Entry.objects.all(), keys, ("stream", "at"), "entries")
        wanted = {stream.removeprefix(_STREAM): at for stream, at in entries}
        uuids = {reference: uuid for reference in wanted if (uuid := uuid_of(reference))}
        stored = set(Event.objects.filter(uuid__in=uuids.values()).values_list("uuid", flat=True))
        missing = [reference for reference in wanted if uuids.get(reference) not in stored]
        before = self.deletions.load().events_before if missing else ""
        faults = [
            RowFault(
                "row-missing",
                "events",
                reference,
                "",
                f"was received at {wanted[reference] and format_time(wanted[reference])}, but has no row",
            )
            for reference in missing
            if wanted[reference] is None or format_time(wanted[reference]) >= before
        ]
        return keys[-1], [*unreadable, *faults]


@contextmanager
def page_snapshot() -> Iterator[None]:
    """Let the statements of a page see one state of the database. On SQLite too, since it is short."""
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        with read_snapshot():
            yield
        return
    connection.ensure_connection()
    link = connection.connection
    link.execute("BEGIN DEFERRED")
    try:
        yield
    finally:
        link.rollback()


def _unreadable_entry(key: int) -> RowFault:
    logger.exception("an event could not be compared with its entries")
    return RowFault("unreadable", "events", name_event(key), "", "a row or an entry of it cannot be read")


def _unread_events(keys: Sequence[int]) -> Iterator[RowFault]:
    rows = Event.objects.filter(pk__in=keys).exclude(source__in=Source.objects.all())
    for uuid, source in rows.values_list("uuid", "source_id"):
        yield RowFault(
            "parent-missing", "events", to_reference(uuid), "source_id", f"is {source}, which is not a source"
        )


def _by_parent(rows: Sequence[dict[str, Any]], column: str) -> Mapping[Any, list[dict[str, Any]]]:
    children: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        children[row[column]].append(row)
    return children


def _add_page_columns(tables: Mapping[str, Sequence[dict[str, Any]]], events: Sequence[int]) -> None:
    """Add the columns that pages show and exports do not have."""
    columns = ("key", "mapping_version", "person_request", "payload_choice", "in_own_process", "counted_as")
    attempts = Attempt.objects.filter(delivery__event__in=events).values_list(*columns)
    shown = {str(key): rest for key, *rest in attempts}
    for row in tables["attempts"]:
        names = ("mapping", "person_request", "payload_choice", "in_own_process", "counted_as")
        row.update(zip(names, shown.get(row["attempt"], ()), strict=False))
    own = {
        to_reference(uuid): (key, receipt and to_reference(receipt))
        for uuid, key, receipt in Event.objects.filter(pk__in=events).values_list(
            "uuid", "batch_id", "batch__uuid"
        )
    }
    for row in tables["events"]:
        row["batch"] = own.get(row["reference"], (None, None))
    subjects = Delivery.objects.filter(event__in=events).values_list("pk", "entity_type", "entity_id")
    of_delivery = {key: subject for key, *subject in subjects}
    for row in tables["deliveries"]:
        row["subject"] = of_delivery.get(row["delivery"])
    repeated = Receipt.objects.filter(event__in=events).values_list("uuid", "source_id", "event_count")
    of_receipt = {to_reference(uuid): columns for uuid, *columns in repeated}
    for row in tables["receipts"]:
        row["source_id"], row["event_count"] = of_receipt.get(row["receipt"], (None, None))


def _check_first_entry(
    event: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], deletions: Deletions
) -> Iterator[RowFault]:
    """The event names the receipt of its request, if that had several events, and its first entry does so too."""
    if not entries or entries[0]["stream_seq"] != 1:
        return
    key, reference = event["batch"]
    expected = entries[0]["details"].get("batch")
    # Retention deletes the receipt with the events of its time; an event with an open delivery stays.
    is_deleted = key is None and event["received"] < deletions.events_before
    if (reference != expected and not is_deleted) or (key is not None and reference is None):
        yield RowFault(
            "row-differs", "events", event["reference"], "batch_id", "differs from its first entry"
        )


def _check_repeated_columns(
    event: Mapping[str, Any], receipts: Sequence[Mapping[str, Any]], deliveries: Sequence[Mapping[str, Any]]
) -> Iterator[RowFault]:
    """A receipt repeats the source of its event, and a delivery its entity."""
    for row in receipts:
        if row["source_id"] not in (None, event["source_id"]):
            yield RowFault("row-differs", "receipts", row["receipt"], "source_id", "differs from its event")
        # A request with several events is a receipt of none of them.
        if row["event_count"] is not None:
            yield RowFault("row-differs", "receipts", row["receipt"], "event_count", "is set, with one event")
    for row in deliveries:
        if row["subject"] not in (None, [event["entity_type"], event["entity_id"]]):
            yield RowFault(
                "row-differs",
                "deliveries",
                row["delivery"],
                "entity_type or entity_id",
                "differs from its event",
            )
