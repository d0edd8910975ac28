"""Append to the audit log, in the transaction of the change that is being recorded."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from audit.entries.actor_context import with_circumstances
from audit.entries.stream_heads import START, End, ends_of
from audit.format.canonical_json import JSONValue, canonical
from audit.format.hashes import leaf_of
from audit.format.signed_records import time_text
from database.statement import BoundStatement, Statement
from database.write_batch import WriteBatch

SYSTEM = "system"
VERSION = 1
BATCH = 1000
_COLLISIONS = 100
_COLUMNS = ("stream", "at", "action", "actor", "body", "stream_seq", "prev_leaf", "leaf")


class NotInTransaction(RuntimeError):
    """An entry must be committed together with the change that it records, or not at all."""


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that somebody may ask about later.

    `stream` names what it is about (`event:<reference>`, `delivery:<reference>:<route>`, `person:<id>`,
    `setting:<kind>:<id>`), `action` what happened (`webhook.received`), `actor` who did it. `details` holds no personal
    data: identifiers of ours, codes, numbers, setting values that are no secrets. `at`: when, if not at the time that
    `append` is given.
    """

    stream: str
    action: str
    actor: str = SYSTEM
    details: Mapping[str, JSONValue] = field(default_factory=dict)
    at: datetime | None = None


class _NewStreams(dict[str, End]):
    """The heads of streams that have no entry yet, whatever their names."""

    def __contains__(self, stream: object) -> bool:
        return True

    def __missing__(self, stream: str) -> End:
        return START


NEW_STREAMS: Mapping[str, End] = _NewStreams()


def append(*happenings: Happening, at: datetime | None = None) -> None:
    """Append entries to their streams, in order, in the transaction that is open: two statements.

    Where another transaction appends to one of these streams, this waits for its end. Raises NotInTransaction outside
    a transaction; TypeError or ValueError for details without a canonical form.
    """
    if not connection.in_atomic_block:
        raise NotInTransaction("append() belongs into the transaction of the change that it records")
    moment = at or timezone.now()
    for tries_left in reversed(range(_tries() if happenings else 0)):
        try:
            with _savepoint():
                prepare_append(*happenings, at=moment).run()
            return
        except IntegrityError:  # another transaction appended after the heads were read
            if not tries_left:
                raise


@dataclass(frozen=True, slots=True)
class PreparedAppend:
    """INSERTs of entries, and where their streams end once those are committed."""

    writes: Sequence[BoundStatement]
    heads: Mapping[str, End]

    def run(self) -> None:
        """Insert the entries in the transaction that is open."""
        for write in self.writes:
            batch = WriteBatch()
            batch.execute(write)
            batch.run()


def prepare_append(
    *happenings: Happening, at: datetime | None = None, heads: Mapping[str, End] | None = None
) -> PreparedAppend:
    """Prepare entries for a write batch. The batch raises IntegrityError if a stream does not end at its head any more.

    `heads`: where streams end, as far as that is known; the others are looked up. NEW_STREAMS: none has an entry yet.
    Raises TypeError or ValueError for details without a canonical form.
    """
    moment = at or timezone.now()
    known = {} if heads is None else heads
    streams = {happening.stream for happening in happenings}
    unknown = [stream for stream in streams if stream not in known]
    found = ends_of(unknown) if unknown else {}
    ends = {stream: found[stream] if stream in found else known[stream] for stream in streams}
    ordered = (
        happenings if heads is NEW_STREAMS else _in_order(happenings)
    )  # no other transaction has a new stream
    rows = [_row(happening, happening.at or moment, ends) for happening in ordered]
    writes = [_insertion(rows[start : start + BATCH]) for start in range(0, len(rows), BATCH)]
    return PreparedAppend(writes, ends)


def _tries() -> int:
    """Return how often an append is tried. On SQLite once is enough: there is one writer at a time."""
    return _COLLISIONS if connection.vendor == "postgresql" else 1


def _savepoint() -> AbstractContextManager[Any]:
    """Return a savepoint on PostgreSQL, so that an error leaves the transaction usable."""
    return transaction.atomic() if connection.vendor == "postgresql" else nullcontext()


def _in_order(happenings: Sequence[Happening]) -> Sequence[Happening]:
    """Return them by the names of their streams; two appends to the same streams then never wait for each other."""
    return sorted(happenings, key=_stream) if len(happenings) > 1 else happenings


def _stream(happening: Happening) -> str:
    return happening.stream


def _text(happening: Happening, at: str) -> str:
    """The canonical body up to where its place in the chain begins: the names of that sort after all others."""
    deed = f'"action":{quoted(happening.action)},"actor":{quoted(happening.actor)}'
    details = with_circumstances(happening.actor, happening.details)
    return f'{{{deed},"at":"{at}","details":{canonical(details)}'


def _row(happening: Happening, at: datetime, ends: dict[str, End]) -> tuple[Any, ...]:
    """Return the values of `_COLUMNS` for the next entry of a stream, which becomes its head."""
    text = _text(happening, time_text(at))
    stream = happening.stream
    before = ends[stream]
    seq = before.seq + 1
    place = f'"stream":{quoted(stream)},"stream_seq":{seq},"v":{VERSION}'
    body = f'{text},"prev_leaf":"{before.leaf.hex()}",{place}}}'
    leaf = leaf_of(body)
    ends[stream] = End(seq, leaf)
    return stream, at, happening.action, happening.actor, body, seq, before.leaf, leaf


def _insertion(rows: Sequence[tuple[Any, ...]]) -> BoundStatement:
    return _inserting(len(rows)).bind(*(value for row in rows for value in row))


@lru_cache(maxsize=64)
def _inserting(rows: int) -> Statement:
    row = f"({', '.join(['%s'] * len(_COLUMNS))})"
    return Statement(f"INSERT INTO audit_entry ({', '.join(_COLUMNS)}) VALUES {', '.join([row] * rows)}")  # noqa: S608
