"""The ends of streams, locked and moved on: the only rows of the audit log that two appends can both want.

All heads of one append are taken by one statement, in the order of their names, so that appends wait for each other
and never in a circle. A transaction that appends more than once takes settings before deliveries before events.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from django.db import connection

from audit.hashing import ZERO
from audit.statements import Bound, Statement


@dataclass(frozen=True, slots=True)
class End:
    """The last entry of a stream: its place and its hash."""

    seq: int
    leaf: bytes


START = End(0, ZERO)
MOST = 1000  # streams in one statement


def take_ends(counts: Mapping[str, int]) -> dict[str, End]:
    """The ends of these streams as they are, each moved on by so many entries and locked: one statement.

    What `ends_to_keep` gives must be run in the same transaction.
    """
    ends = {}
    for some in _pieces(sorted(counts)):
        if connection.vendor == "sqlite":  # it has one writer: there is nothing to lock
            ends.update(dict.fromkeys(some, START))
            ends.update({name: End(seq, bytes(leaf)) for name, seq, leaf in _reading(len(some)).rows(*some)})
            continue
        values = [value for stream in some for value in (stream, counts[stream], ZERO)]
        for stream, seq, leaf in _taking(len(some)).rows(*values):
            ends[stream] = End(seq - counts[stream], bytes(leaf))
    return ends


def ends_to_keep(ends: Mapping[str, End]) -> list[Bound]:
    """Where these streams end from now on; those that are new begin to have an end: one statement."""
    return [
        _keeping(len(some)).bound(
            *(value for stream in some for value in (stream, ends[stream].seq, ends[stream].leaf))
        )
        for some in _pieces(sorted(ends))
    ]


def _pieces(streams: Sequence[str]) -> list[Sequence[str]]:
    return [streams[start : start + MOST] for start in range(0, len(streams), MOST)]


@lru_cache(maxsize=128)
def _reading(streams: int) -> Statement:
    marks = ", ".join(["%s"] * streams)
    return Statement(f"SELECT stream, seq, leaf FROM audit_head WHERE stream IN ({marks})")  # noqa: S608


@lru_cache(maxsize=128)
def _taking(streams: int) -> Statement:
    return Statement(
        f"""INSERT INTO audit_head (stream, seq, leaf) VALUES {_rows(streams)}
        ON CONFLICT (stream) DO UPDATE SET seq = audit_head.seq + excluded.seq RETURNING stream, seq, leaf"""  # noqa: S608
    )


@lru_cache(maxsize=128)
def _keeping(streams: int) -> Statement:
    return Statement(
        f"""INSERT INTO audit_head (stream, seq, leaf) VALUES {_rows(streams)}
        ON CONFLICT (stream) DO UPDATE SET seq = excluded.seq, leaf = excluded.leaf"""  # noqa: S608
    )


def _rows(streams: int) -> str:
    return ", ".join(["(%s, %s, %s)"] * streams)
