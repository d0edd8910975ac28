"""Heads of streams: sequence number and hash of each stream's last entry.

Heads are read from the entries, without a lock and without a table of their own. A unique constraint gives each place
in a stream to one entry; a transaction that collides reads the head again. Entries of one append are inserted in the
order of their streams' names, so appends wait for each other but never deadlock. A transaction that appends more than
once appends to settings before deliveries before events, and takes its other locks before all of them.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

from audit.format.hashes import ZERO_HASH
from database.statement import Statement


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
    ends = {}
    for some in _in_batches(sorted(streams)):
        for stream, seq, leaf in _heads_statement(len(some)).fetch_all(*some):
            ends[stream] = StreamHead(seq, bytes(leaf)) if seq else EMPTY_STREAM
    return ends


# One lookup in the unique index of stream and place, however long the stream is.
_LAST_ENTRY = "(SELECT {} FROM audit_entry WHERE stream = wanted.stream ORDER BY stream_seq DESC LIMIT 1)"
_STUB = "(SELECT {} FROM audit_stub WHERE stream = wanted.stream)"


@lru_cache(maxsize=128)
def _heads_statement(stream_count: int) -> Statement:
    # A stub counts only where no entry is stored: pruning deletes the oldest entries of a stream first.
    seq = f"COALESCE({_LAST_ENTRY.format('stream_seq')}, {_STUB.format('seq')}, 0)"
    leaf = f"COALESCE({_LAST_ENTRY.format('leaf')}, {_STUB.format('leaf')})"
    wanted = f"WITH wanted (stream) AS (VALUES {', '.join(['(%s)'] * stream_count)})"
    return Statement(f"{wanted} SELECT stream, {seq}, {leaf} FROM wanted")  # noqa: S608


def _in_batches(streams: Sequence[str]) -> list[Sequence[str]]:
    return [streams[start : start + MAX_STREAMS] for start in range(0, len(streams), MAX_STREAMS)]
