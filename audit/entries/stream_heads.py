"""Where streams end. Nobody keeps that beside the entries, and nothing is locked to learn it.

A constraint of the table lets an entry have its place in its stream for itself. Whoever meets it looks again: somebody
appended at the same moment. Entries of one append are stored in the order of the names of their streams: appends wait
for each other, and never in a circle. A transaction that appends more than once takes settings before deliveries
before events, and what else it locks before all of them.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

from audit.format.hashes import ZERO
from database.statement import Statement


@dataclass(frozen=True, slots=True)
class End:
    """The last entry of a stream: its place and its hash."""

    seq: int
    leaf: bytes


START = End(0, ZERO)
MOST = 1000  # streams in one statement


def ends_of(streams: Collection[str]) -> dict[str, End]:
    """The end of each, by one statement for a thousand. Of an entry that is kept no longer its hash is."""
    ends = {}
    for some in _pieces(sorted(streams)):
        for stream, seq, leaf in _ending(len(some)).rows(*some):
            ends[stream] = End(seq, bytes(leaf)) if seq else START
    return ends


_LAST = "(SELECT {} FROM audit_entry WHERE stream = wanted.stream ORDER BY stream_seq DESC LIMIT 1)"
_KEPT = "(SELECT {} FROM audit_stub WHERE stream = wanted.stream)"


@lru_cache(maxsize=128)
def _ending(streams: int) -> Statement:
    seq = f"COALESCE({_LAST.format('stream_seq')}, {_KEPT.format('seq')}, 0)"
    leaf = f"COALESCE({_LAST.format('leaf')}, {_KEPT.format('leaf')})"
    wanted = f"WITH wanted (stream) AS (VALUES {', '.join(['(%s)'] * streams)})"
    return Statement(f"{wanted} SELECT stream, {seq}, {leaf} FROM wanted")  # noqa: S608


def _pieces(streams: Sequence[str]) -> list[Sequence[str]]:
    return [streams[start : start + MOST] for start in range(0, len(streams), MOST)]
