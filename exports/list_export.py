"""Declare the lists that can be downloaded, with their columns, and stream them."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from types import NoneType
from typing import Any

from django.db.models import Count, Model, QuerySet

from audit.entries.readable_rows import iterate_entries
from audit.export.line_formats import REQUESTER_COLUMN, LineFormat, Row, with_requester
from audit.format.signed_records import format_time
from audit.models import Entry
from config_schema.codes.reference import to_reference
from database.connection import streaming_transaction
from exports.damaged_values import READ_ERRORS, is_damage, stored_text
from sync.models import Attempt, Difference
from webhooks.models import Event, Receipt

CHUNK_SIZE = 2_000


@dataclass(frozen=True, slots=True)
class ListExport:
    """A kind of row that can be downloaded. `read_rows` turns a filtered, ordered queryset into its rows.

    `has_values`: its rows have values that identify people, so that one person may not have more than EXPORT_LIMIT.
    """

    name: str
    permission: str
    columns: Sequence[str]
    read_rows: Callable[[QuerySet[Any]], Iterator[Row]]
    has_values: bool = False


@dataclass(slots=True)
class StreamStats:
    """Counts rows and bytes sent so far, with their SHA-256."""

    rows: int = 0
    size: int = 0
    digest: Any = field(default_factory=hashlib.sha256)

    def to_audit_details(self) -> dict[str, int | str]:
        return {"rows": self.rows, "bytes": self.size, "sha256": self.digest.hexdigest()}


def stream_rows(
    export: ListExport,
    queryset: QuerySet[Any],
    line_format: LineFormat,
    stats: StreamStats,
    requester: str = "system",
) -> Iterator[bytes]:
    """Yield the file in pieces of some hundred kilobytes, in constant memory. Updates `stats` as it goes.

    Each row names the requester.
    """
    with streaming_transaction():
        rows = with_requester(_count_rows(export.read_rows(queryset), stats), requester)
        lines = line_format.write_lines((*export.columns, REQUESTER_COLUMN), rows)
        for batch in split_into_batches(lines, CHUNK_SIZE // 4):
            piece = "".join(batch).encode()
            stats.size += len(piece)
            stats.digest.update(piece)
            yield piece


def _count_rows(rows: Iterator[Row], stats: StreamStats) -> Iterator[Row]:
    for row in rows:
        stats.rows += 1
        yield row


def split_into_batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Yield the items in lists of at most `size`."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def event_rows(queryset: QuerySet[Any]) -> Iterator[Row]:
    """Yield the rows of events, by four statements for each 2,000.

    A value that cannot be read is written as it is stored.
    """
    # The keys by one statement: on SQLite it is the snapshot of the list.
    keys = queryset.values_list("pk", flat=True).iterator(chunk_size=CHUNK_SIZE)
    for batch in split_into_batches(keys, CHUNK_SIZE):
        yield from _rows_of_events(batch)


def _rows_of_events(keys: list[int]) -> list[Row]:
    """Return the rows of these events. Those with something that cannot be read are found by halves."""
    try:
        return _read_rows_of_events(keys)
    except READ_ERRORS as error:
        if not is_damage(error):
            raise
    if len(keys) == 1:
        return [_damaged_row(keys[0])]
    half = len(keys) // 2
    return [*_rows_of_events(keys[:half]), *_rows_of_events(keys[half:])]


def _read_rows_of_events(keys: list[int]) -> list[Row]:
    events = Event.objects.filter(pk__in=keys).select_related("source").only(*_EVENT_FIELDS).in_bulk()
    # One query a batch for answers and one for attempts: a join would repeat each event.
    answers, attempts = _answers_by_event(keys), _attempt_counts(keys)
    return [
        [*_require_plain(_event_cells(events[key])), answers[key], attempts.get(key, 0)]
        for key in keys
        if key in events
    ]


def _require_plain(cells: Row) -> Row:
    """Return the cells. Raises ValueError if one has a value that the hub does not write: SQLite stores any."""
    if not all(type(cell) in _PLAIN_TYPES for cell in cells) or cells[_RECEIVED] is None:
        raise ValueError("a stored value has another type")
    return cells


def _damaged_row(key: int) -> Row:
    """Return the row of an event with something that cannot be read. Each such value is the text that is stored."""
    cells = [_cell_or_text(Event, key, name, convert) for name, convert in _EVENT_CELLS]
    receipts = Receipt.objects.filter(event_id=key).order_by("id").values_list("pk", flat=True)
    answers = [
        {name: _cell_or_text(Receipt, receipt, column, convert) for name, column, convert in _ANSWER_CELLS}
        for receipt in receipts
    ]
    return [*cells, answers, _attempt_counts([key]).get(key, 0)]


def _cell_or_text(model: type[Model], key: int, column: str, convert: Callable[[Any], Any]) -> Any:
    try:
        value = model._default_manager.filter(pk=key).values_list(column, flat=True).get()
        cell = convert(value)
    except READ_ERRORS as error:
        if not is_damage(error):
            raise
        return stored_text(model, key, column)
    # Django reads some texts that are not times as None.
    return cell if cell is not None and type(cell) in _PLAIN_TYPES else stored_text(model, key, column)


def _event_cells(event: Event) -> Row:
    return [
        event.reference,
        event.source.slug,
        event.event_id,
        event.entity_type,
        event.entity_id,
        event.event_type,
        _optional_time(event.occurred_at),
        _optional_time(event.received_at),
        event.is_signed,
        event.state,
        event.code,
        bytes(event.digest).hex(),
        event.origin,
        event.requested_by,
    ]


def _answers_by_event(keys: list[int]) -> dict[int, list[dict[str, Any]]]:
    """Return the responses to each event's requests, oldest first, by the key of the event."""
    answers: dict[int, list[dict[str, Any]]] = defaultdict(list)
    receipts = Receipt.objects.filter(event_id__in=keys).order_by("id")
    names = ("event_id", "uuid", "status", "code", "answered_at")
    for key, uuid, status, code, at in receipts.values_list(*names):
        cells = [to_reference(uuid), status, code, _optional_time(at)]
        # An answer has a status and a time.
        if not all(type(cell) in _PLAIN_TYPES for cell in cells) or (status is None) != (at is None):
            raise ValueError("a stored value has another type")
        answers[key].append(dict(zip(("receipt", "status", "code", "at"), cells, strict=True)))
    return answers


def _attempt_counts(keys: list[int]) -> dict[int, int]:
    counted = Attempt.objects.filter(delivery__event_id__in=keys).values_list("delivery__event_id")
    return dict(counted.annotate(Count("pk")).order_by())


def entry_rows(queryset: QuerySet[Any]) -> Iterator[Row]:
    """Yield audit entries; `body` is the text that is hashed, byte for byte.

    A damaged time is written as it is stored. The entry has no body then, nor with another column that makes none.
    """
    for entry in iterate_entries(queryset, CHUNK_SIZE):
        at = entry.damaged.get("at") or _optional_time(entry.at)
        yield [entry.pk, at, entry.stream, entry.action, entry.actor, _entry_body(entry)]


def _entry_body(entry: Entry) -> str | None:
    # Damaged details are part of a body all the same.
    return None if entry.damaged.keys() - {"details", "leaf"} else entry.body


def difference_rows(queryset: QuerySet[Difference]) -> Iterator[Row]:
    """Yield the differences of a comparison: ids and names of fields, never a value."""
    for row in queryset.iterator(chunk_size=CHUNK_SIZE):
        ids = (row.entity_id, row.record_id)
        yield [row.kind, row.status, *ids, row.fields, row.code, row.delivery_state, format_time(row.since)]


def _optional_time(at: datetime | None) -> str | None:
    return format_time(at) if at else None


def _as_stored(value: Any) -> Any:
    return value


# The columns of an event in the order of its cells, and how each cell is made of the stored value.
_EVENT_CELLS: Sequence[tuple[str, Callable[[Any], Any]]] = (
    ("uuid", to_reference),
    ("source__slug", _as_stored),
    *((name, _as_stored) for name in ("event_id", "entity_type", "entity_id", "event_type")),
    ("occurred_at", _optional_time),
    ("received_at", _optional_time),
    *((name, _as_stored) for name in ("is_signed", "state", "code")),
    ("digest", lambda digest: bytes(digest).hex()),
    *((name, _as_stored) for name in ("origin", "requested_by")),
)
_EVENT_FIELDS = [name for name, _ in _EVENT_CELLS]
_RECEIVED = _EVENT_FIELDS.index("received_at")
_ANSWER_CELLS: Sequence[tuple[str, str, Callable[[Any], Any]]] = (
    ("receipt", "uuid", to_reference),
    ("status", "status", _as_stored),
    ("code", "code", _as_stored),
    ("at", "answered_at", _optional_time),
)
_PLAIN_TYPES = (str, int, bool, NoneType)


EVENT_EXPORT = ListExport(
    "events",
    "webhooks.download_event",
    (
        "reference",
        "source",
        "event_id",
        "entity_type",
        "entity_id",
        "event_type",
        "occurred",
        "received",
        "signed",
        "state",
        "code",
        "body_sha256",
        "origin",
        "requested_by",
        "answers",
        "attempts",
    ),
    event_rows,
    has_values=True,
)
ENTRY_EXPORT = ListExport(
    "audit",
    "audit.download_entry",
    ("id", "at", "stream", "action", "actor", "body"),
    entry_rows,
)
DIFFERENCE_EXPORT = ListExport(
    "differences",
    "sync.view_differences",
    ("kind", "status", "entity_id", "record_id", "fields", "code", "delivery_state", "since"),
    difference_rows,
    has_values=True,
)
