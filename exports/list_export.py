"""Declare the lists that can be downloaded, with their columns, and stream them."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from django.db.models import Count, QuerySet

from audit.entries.readable_rows import iterate_entries
from audit.export.line_formats import LineFormat, Row
from audit.format.signed_records import format_time
from audit.models import Entry
from database.connection import streaming_transaction
from sync.models import Attempt
from webhooks.catalogue.reference import to_reference
from webhooks.models import Event, Receipt

CHUNK_SIZE = 2_000


@dataclass(frozen=True, slots=True)
class ListExport:
    """A kind of row that can be downloaded. `read_rows` turns a filtered, ordered queryset into its rows."""

    name: str
    permission: str
    columns: Sequence[str]
    read_rows: Callable[[QuerySet[Any]], Iterator[Row]]


@dataclass(slots=True)
class StreamStats:
    """Counts rows and bytes sent so far, with their SHA-256."""

    rows: int = 0
    size: int = 0
    digest: Any = field(default_factory=hashlib.sha256)

    def to_audit_details(self) -> dict[str, int | str]:
        return {"rows": self.rows, "bytes": self.size, "sha256": self.digest.hexdigest()}


def stream_rows(
    export: ListExport, queryset: QuerySet[Any], line_format: LineFormat, stats: StreamStats
) -> Iterator[bytes]:
    """Yield the file in pieces of some hundred kilobytes, in constant memory. Updates `stats` as it goes."""
    with streaming_transaction():
        lines = line_format.write_lines(export.columns, _count_rows(export.read_rows(queryset), stats))
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
    """Yield the rows of events, by three statements for each 2,000."""
    events = queryset.select_related("source").only(*_EVENT_FIELDS).iterator(chunk_size=CHUNK_SIZE)
    for batch in split_into_batches(events, CHUNK_SIZE):
        # One query a batch for answers and one for attempts: a join would repeat each event.
        keys = [event.pk for event in batch]
        answers, attempts = _answers_by_event(keys), _attempt_counts(keys)
        for event in batch:
            yield [*_event_cells(event), answers[event.pk], attempts.get(event.pk, 0)]


_EVENT_FIELDS = (
    "uuid",
    "source__slug",
    "event_id",
    "entity_type",
    "entity_id",
    "event_type",
    "occurred_at",
    "received_at",
    "is_signed",
    "state",
    "code",
    "digest",
)


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
    ]


def _answers_by_event(keys: list[int]) -> dict[int, list[dict[str, Any]]]:
    """Return the responses to each event's requests, oldest first, by the key of the event."""
    answers: dict[int, list[dict[str, Any]]] = defaultdict(list)
    receipts = Receipt.objects.filter(event_id__in=keys).order_by("id")
    names = ("event_id", "uuid", "status", "code", "answered_at")
    for key, uuid, status, code, at in receipts.values_list(*names):
        answers[key].append(
            {"receipt": to_reference(uuid), "status": status, "code": code, "at": _optional_time(at)}
        )
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


def _optional_time(at: datetime | None) -> str | None:
    return format_time(at) if at else None


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
        "answers",
        "attempts",
    ),
    event_rows,
)
ENTRY_EXPORT = ListExport(
    "audit",
    "audit.download_entry",
    ("id", "at", "stream", "action", "actor", "body"),
    entry_rows,
)
