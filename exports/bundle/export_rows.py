"""Read the rows of an export: some events with everything under them, in six statements."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Model, QuerySet

from audit.entries.stream_heads import load_stream_heads
from audit.export.line_formats import Row
from audit.format.signed_records import format_time
from config_schema.codes.reference import to_reference
from exports.bundle.schema import DELIVERIES, EVENTS
from sync.models import Attempt, Call, Connection, Delivery
from webhooks.models import Event, Receipt, Source, is_erased, subject_row_key

# Larger batches take more memory and were not faster.
CHUNK_SIZE = 500
_EVENT = (
    *("id", "uuid", "source__slug", "source_id", "event_id", "entity_type", "entity_id", "event_type"),
    *("occurred_at", "occurred_text", "received_at", "is_signed", "origin", "requested_by"),
    *("state", "code", "digest"),
)
_RECEIPT = (
    *("event_id", "uuid", "verified_by", "size", "received_at"),
    *("answered_at", "status", "code", "is_final", "is_repeat"),
)
_DELIVERY = (
    *("event_id", "id", "route_id", "identity__slug", "identity_id", "target__slug", "target_id"),
    *("is_relayed", "state", "code", "settled_at"),
)
_ATTEMPT = (
    *("delivery_id", "id", "number", "key", "cause", "started_at", "ended_at"),
    *("outcome", "code", "is_retryable", "action", "record_id"),
)
_CALL = (
    *(
        "attempt_id",
        "id",
        "connection__slug",
        "connection_id",
        "purpose",
        "is_write",
        "method",
        "path",
        "started_at",
    ),
    *("seconds", "status", "error", "sent_bytes", "received_bytes", "response_part"),
)
# The position among the values of a call without the first one, the id of its attempt.
_SECONDS = _CALL.index("seconds") - 1
_ENTITY_ID = EVENTS.column_names.index("entity_id")
_ROUTE = DELIVERIES.column_names.index("route")
RowsByTable = Mapping[str, Sequence[Row]]


@dataclass(frozen=True, slots=True)
class SourceTable:
    """A table that rows are read from, its columns, and the column and model of the parent that a row belongs to."""

    model: type[Model]
    columns: Sequence[str]
    parent_column: str
    parent_model: type[Model] | None = None


EVENT_TABLES = (
    SourceTable(Event, _EVENT, "id"),
    SourceTable(Receipt, _RECEIPT, "event_id"),
    SourceTable(Delivery, _DELIVERY, "event_id"),
    SourceTable(Attempt, _ATTEMPT, "delivery_id", Delivery),
    SourceTable(Call, _CALL, "attempt_id", Attempt),
)
LOOKUP_TABLES = (SourceTable(Source, ("slug",), "id"), SourceTable(Connection, ("slug",), "id"))


def read_rows(keys: Sequence[int]) -> RowsByTable:
    """Return the rows of these events by table, ordered as the keys are. Events that were deleted meanwhile are
    left out.
    """
    events = dict(read_event_rows(Event.objects.filter(pk__in=keys)))
    references = {key: row[0] for key, row in events.items()}
    deliveries = _read_children(keys, Delivery, "event_id", _DELIVERY)
    attempts = _read_children([row[1] for row in deliveries], Attempt, "delivery_id", _ATTEMPT)
    attempt_keys = {key: str(name) for _, key, _, name, *_ in attempts}
    calls = _read_children(list(attempt_keys), Call, "attempt_id", _CALL)
    receipts = _read_children(keys, Receipt, "event_id", _RECEIPT)
    delivery_rows = [
        [references[key], *_to_json_values(rest)] for key, *rest in deliveries if key in references
    ]
    names = {row[0]: f"event:{row[0]}" for row in events.values()}
    streams = [f"delivery:{row[0]}:{row[_ROUTE]}" for row in delivery_rows]
    heads = load_stream_heads([*names.values(), *streams])
    return {
        "events": [[*events[key], heads[names[events[key][0]]].seq] for key in keys if key in events],
        "receipts": [
            [references[key], to_reference(uuid), *_to_json_values(rest)]
            for key, uuid, *rest in receipts
            if key in references
        ],
        "deliveries": [[*row, heads[stream].seq] for row, stream in zip(delivery_rows, streams, strict=True)],
        "attempts": [list(_to_json_values([delivery, *rest])) for delivery, _, *rest in attempts],
        "calls": [[attempt_keys[key], *_to_json_values(_with_milliseconds(rest))] for key, *rest in calls],
    }


def _with_milliseconds(call: list[Any]) -> list[Any]:
    """Replace the seconds of a call by whole milliseconds: evidence holds integers only."""
    seconds = call[_SECONDS]
    call[_SECONDS] = None if seconds is None else round(seconds * 1000)
    return call


def read_event_rows(events: QuerySet[Any]) -> Iterator[tuple[int, list[Any]]]:
    """Yield key and row of each event."""
    for key, uuid, *rest, digest in events.values_list(*_EVENT).iterator(chunk_size=CHUNK_SIZE):
        row = [to_reference(uuid), str(uuid), *_to_json_values(rest), bytes(digest).hex()]
        # An erased entity gets no key: with it, guesses of the id could be tested.
        yield key, [*row, None if is_erased(row[_ENTITY_ID]) else subject_row_key(uuid).hex()]


def _read_children(
    keys: Sequence[int], model: Any, parent: str, names: Sequence[str]
) -> list[tuple[Any, ...]]:
    """Return the rows of these parents, ordered by parent as given, then by their own key."""
    by_parent: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    if keys:
        rows = model.objects.filter(**{f"{parent}__in": keys}).order_by("id")
        for row in rows.values_list(*names):
            by_parent[row[0]].append(row)
    return [row for key in keys for row in by_parent.get(key, ())]


def _to_json_values(values: Iterable[Any]) -> Iterator[Any]:
    """Yield the values with times and UUIDs as text."""
    for value in values:
        if isinstance(value, datetime):
            yield format_time(value)
        else:
            yield value if value is None or isinstance(value, str | int) else str(value)
