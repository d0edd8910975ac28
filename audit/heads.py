"""The ends of streams, locked and moved on: the only rows of the audit log that two appends can both want.

All heads of one append are taken by one statement, in the order of their names, so that appends wait for each other
and never in a circle. A transaction that appends more than once takes settings before deliveries before events.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from audit.hashing import ZERO
from audit.statements import Bound, Statement


@dataclass(frozen=True, slots=True)
class End:
    """The last entry of a stream: its place and its hash."""

    seq: int
    leaf: bytes


START = End(0, ZERO)
MOST = 1000  # streams in one statement

_LEAF = Statement("SELECT leaf FROM audit_entry WHERE stream = %s AND stream_seq = %s")
_KEPT_LEAF = Statement("SELECT leaf FROM audit_stub WHERE stream = %s AND seq = %s")


def take_ends(counts: Mapping[str, int]) -> dict[str, End]:
    """Where these streams end, locked until the commit, and moved on by so many entries: they must be appended in the
    same transaction. One statement, and one more for each stream that had to be waited for."""
    ends = {}
    for some in _pieces(sorted(counts)):
        values = [value for stream in some for value in (stream, counts[stream], counts[stream])]
        for stream, seq, leaf in _taking(len(some)).rows(*values):
            ends[stream] = _end(stream, seq - counts[stream], leaf)
    return ends


def first_ends(counts: Mapping[str, int]) -> Bound:
    """The heads of streams that begin, with so many entries each: a thousand at most."""
    values = [value for stream in sorted(counts) for value in (stream, counts[stream], counts[stream])]
    return Bound(_adding(len(counts)), values)


def _end(stream: str, seq: int, leaf: bytes | None) -> End:
    """Where the head had to be waited for, PostgreSQL's statement is older than the entry that it waited for, and did
    not see it. Of an entry that is kept no longer its hash is."""
    if seq == 0:
        return START
    if leaf is None:
        row = _LEAF.row(stream, seq) or _KEPT_LEAF.row(stream, seq)
        if row is None:
            raise LookupError(f"stream {stream} has no entry {seq}, where its head says that it ends")
        (leaf,) = row
    return End(seq, bytes(leaf or b""))


@lru_cache(maxsize=128)
def _adding(streams: int) -> str:
    return f"INSERT INTO audit_head (stream, seq, added) VALUES {', '.join(['(%s, %s, %s)'] * streams)}"  # noqa: S608


@lru_cache(maxsize=128)
def _taking(streams: int) -> Statement:
    return Statement(
        f"""{_adding(streams)}
        ON CONFLICT (stream) DO UPDATE SET seq = audit_head.seq + excluded.added, added = excluded.added
        RETURNING stream, seq, (SELECT leaf FROM audit_entry
            WHERE audit_entry.stream = audit_head.stream AND stream_seq = audit_head.seq - audit_head.added)"""  # noqa: S608
    )


def _pieces(streams: Sequence[str]) -> list[Sequence[str]]:
    return [streams[start : start + MOST] for start in range(0, len(streams), MOST)]
