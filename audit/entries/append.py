"""Append entries to the audit log, in the transaction of the change that they record."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from audit.entries.actor_context import PERSON_PREFIX, add_actor_context
from audit.entries.stream_heads import EMPTY_STREAM, StreamHead, load_stream_heads
from audit.format.canonical_json import JSONValue, canonical_json
from audit.format.entry_body import entry_body
from audit.format.hashes import leaf_hash
from database.statement import BoundStatement, Statement
from database.write_batch import WriteBatch

SYSTEM = "system"
# A thousand rows of eight values stay below the limits of parameters: 32,766 in SQLite, 65,535 in PostgreSQL.
MAX_INSERT_ROWS = 1000
# Each collision means that another append has committed. The limit ends the loop if another constraint is violated.
_MAX_COLLISIONS = 100
_COLUMNS = ("stream", "at", "action", "actor", "details", "stream_seq", "prev_leaf", "leaf")


class NotInTransaction(RuntimeError):
    """An entry was appended outside a transaction: it must be committed together with the change that it records."""


@dataclass(frozen=True, slots=True)
class NewEntry:
    """An audit entry that has no position in a stream yet.

    `stream` names the object (`event:<reference>`, `delivery:<reference>:<route>`, `person:<id>`,
    `setting:<kind>:<id>`), `action` the change (`webhook.received`), `actor` its cause. `details` holds no personal
    data: identifiers of the hub, codes, numbers, setting values without secrets. `at` is the time of the change, if
    it differs from the time that `append_entries` is given.
    """

    stream: str
    action: str
    actor: str = SYSTEM
    details: Mapping[str, JSONValue] = field(default_factory=dict)
    at: datetime | None = None


class _NewStreams(dict[str, StreamHead]):
    """The heads of streams that have no entry yet, whatever their names."""

    def __contains__(self, stream: object) -> bool:
        return True

    def __missing__(self, stream: str) -> StreamHead:
        return EMPTY_STREAM


NEW_STREAMS: Mapping[str, StreamHead] = _NewStreams()


def append_entries(*entries: NewEntry, at: datetime | None = None) -> None:
    """Append entries to their streams, in order, in the open transaction: two statements.

    Waits for another transaction that appends to one of these streams. Raises NotInTransaction outside a transaction,
    and TypeError or ValueError for details without a canonical form.
    """
    if not connection.in_atomic_block:
        raise NotInTransaction("append_entries() belongs in the transaction of the change that it records")
    moment = at or timezone.now()
    for attempts_left in reversed(range(_max_attempts() if entries else 0)):
        try:
            with _savepoint_on_postgresql():
                # Heads are read inside the savepoint, so a retry reads them again.
                prepare_append(*entries, at=moment).insert_entries()
            return
        # Another transaction appended after the heads were read.
        except IntegrityError:
            if not attempts_left:
                raise


@dataclass(frozen=True, slots=True)
class PreparedAppend:
    """INSERT statements of entries, and the heads of their streams once those are committed."""

    writes: Sequence[BoundStatement]
    heads: Mapping[str, StreamHead]

    def insert_entries(self) -> None:
        """Insert the entries in the transaction that is open."""
        for write in self.writes:
            batch = WriteBatch()
            batch.execute(write)
            batch.run()


def prepare_append(
    *entries: NewEntry, at: datetime | None = None, heads: Mapping[str, StreamHead] | None = None
) -> PreparedAppend:
    """Prepare entries for a write batch. The batch raises IntegrityError if a stream has another head by then.

    `heads` are the known heads of streams; the others are read. NEW_STREAMS: no stream has an entry yet. Raises
    TypeError or ValueError for details without a canonical form.
    """
    moment = at or timezone.now()
    known_heads = {} if heads is None else heads
    streams = {entry.stream for entry in entries}
    unknown = [stream for stream in streams if stream not in known_heads]
    stored_heads = load_stream_heads(unknown) if unknown else {}
    new_heads = {
        stream: stored_heads[stream] if stream in stored_heads else known_heads[stream] for stream in streams
    }
    # No other transaction can append to a stream that is created here, so appends in any order cannot deadlock.
    ordered = entries if heads is NEW_STREAMS else _sorted_by_stream(entries)
    rows = [_entry_columns(entry, entry.at or moment, new_heads) for entry in ordered]
    writes = [
        _bind_insert(rows[start : start + MAX_INSERT_ROWS]) for start in range(0, len(rows), MAX_INSERT_ROWS)
    ]
    return PreparedAppend(writes, new_heads)


def _max_attempts() -> int:
    """Return the maximum number of attempts to append. One on SQLite, which has one writer at a time."""
    return _MAX_COLLISIONS if connection.vendor == "postgresql" else 1


def _savepoint_on_postgresql() -> AbstractContextManager[Any]:
    """Return a savepoint on PostgreSQL, so that an error leaves the transaction usable."""
    return transaction.atomic() if connection.vendor == "postgresql" else nullcontext()


def _sorted_by_stream(entries: Sequence[NewEntry]) -> Sequence[NewEntry]:
    """Return the entries sorted by stream, so that two appends to the same streams never deadlock."""
    return sorted(entries, key=_stream_of) if len(entries) > 1 else entries


def _stream_of(entry: NewEntry) -> str:
    return entry.stream


def _entry_columns(entry: NewEntry, at: datetime, heads: dict[str, StreamHead]) -> tuple[Any, ...]:
    """Return the values of `_COLUMNS` for the next entry of a stream, which becomes its head."""
    is_person = entry.actor.startswith(PERSON_PREFIX)
    # Stored as it is hashed: no later change of the encoder can make an old hash invalid.
    details = canonical_json(add_actor_context(entry.details) if is_person else entry.details)
    stream, before = entry.stream, heads[entry.stream]
    seq = before.seq + 1
    columns = (stream, at, entry.action, entry.actor, details, seq, before.leaf)
    leaf = leaf_hash(entry_body(*columns))
    heads[stream] = StreamHead(seq, leaf)
    return *columns, leaf


def _bind_insert(rows: Sequence[tuple[Any, ...]]) -> BoundStatement:
    return _insert_statement(len(rows)).bind(*(value for row in rows for value in row))


@lru_cache(maxsize=64)
def _insert_statement(row_count: int) -> Statement:
    row = f"({', '.join(['%s'] * len(_COLUMNS))})"
    return Statement(f"INSERT INTO audit_entry ({', '.join(_COLUMNS)}) VALUES {', '.join([row] * row_count)}")  # noqa: S608
