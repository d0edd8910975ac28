"""Heads of streams: sequence number and hash of each stream's last entry.

Heads are read from the entries, without a lock and without a table of their own. A unique constraint gives each place
in a stream to one entry; a transaction that collides reads the head again. Entries of one append are inserted in the
order of their streams' names, so appends wait for each other but never deadlock. A transaction that appends more than
once appends to settings before deliveries before events, and takes its other locks before all of them.

An append never fails because someone changed the last entry of a stream: webhooks are still stored, and a verification
finds the entry, and that the next one does not continue it.
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.db import connection

from audit.format.canonical_json import MAX_NUMBER
from audit.format.hashes import ZERO_HASH, is_hash
from database.statement import Statement

logger = logging.getLogger("hub.audit")


@dataclass(frozen=True, slots=True)
class StreamHead:
    """The last entry of a stream: its sequence number and its hash."""

    seq: int
    leaf: bytes


EMPTY_STREAM = StreamHead(0, ZERO_HASH)
MAX_STREAMS = 1000  # streams in one statement


def load_stream_heads(streams: Collection[str]) -> dict[str, StreamHead]:
    """Return the head of each stream, in one statement for a thousand streams.

    A pruned entry still counts: its sequence number and hash are in `audit_stub`.
    """
    heads = {}
    for batch in _in_batches(sorted(streams)):
        for stream, seq, leaf in _heads_statement(len(batch), connection.vendor).fetch_all(*batch):
            is_sound = isinstance(seq, int) and seq > 0 and is_hash(leaf)
            heads[stream] = StreamHead(seq, bytes(leaf)) if is_sound else _damaged_head(stream, seq)
    return heads


def _damaged_head(stream: str, seq: Any) -> StreamHead:
    """Return the head of a stream that has no entry, or whose last entry or stub has a damaged number or hash.

    The next entry takes the next number, and the hash that no entry has, with which the sealer seals a damaged one too.
    """
    if not seq:
        return EMPTY_STREAM
    logger.error("the last entry of stream %s was changed; the next one does not continue it", stream)
    # SQLite can store a fraction there, and in a stub text too.
    is_number = isinstance(seq, int | float) and 0 < seq < MAX_NUMBER
    return StreamHead(int(seq) if is_number else 0, ZERO_HASH)


# One lookup in the unique index of stream and place, however long the stream is. A number that the hub never gives is
# passed over, and so is text, which SQLite sorts after all numbers. The hub gives none above the entry's own id. With a
# fixed limit, the entries that follow a forged number just below it would reach it. Nor does an entry count that
# somebody inserted with an id which the database has not given: its number could be as high. SQLite refuses such rows.
_IS_GIVEN = {
    "sqlite": "TRUE",
    "postgresql": "id <= (SELECT pg_sequence_last_value(pg_get_serial_sequence('audit_entry', 'id')::regclass))",
}
_LAST_ENTRY = """(SELECT {} FROM audit_entry WHERE stream = wanted.stream AND stream_seq BETWEEN 0 AND id AND {}
    ORDER BY stream_seq DESC LIMIT 1)"""
_STUB = "(SELECT {} FROM audit_stub WHERE stream = wanted.stream)"


@lru_cache(maxsize=128)
def _heads_statement(stream_count: int, vendor: str) -> Statement:
    # A stub counts only where no entry is stored: pruning deletes the oldest entries of a stream first.
    is_given = _IS_GIVEN[vendor]
    seq = f"COALESCE({_LAST_ENTRY.format('stream_seq', is_given)}, {_STUB.format('seq')}, 0)"
    leaf = f"COALESCE({_LAST_ENTRY.format('leaf', is_given)}, {_STUB.format('leaf')})"
    wanted = f"WITH wanted (stream) AS (VALUES {', '.join(['(%s)'] * stream_count)})"
    return Statement(f"{wanted} SELECT stream, {seq}, {leaf} FROM wanted")  # noqa: S608


def _in_batches(streams: Sequence[str]) -> list[Sequence[str]]:
    return [streams[start : start + MAX_STREAMS] for start in range(0, len(streams), MAX_STREAMS)]
