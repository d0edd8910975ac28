"""Rows of the time before the chains, chained where they stand.

A row that was written before its stream had a chain gets a place at the end of it, in the order of ids. Its body keeps
every member, `"v": 1` among them, and gets the two of the chain. The database lets a row be changed this once, while it
has no hash; what it said until then was never proved, and `"v": 1` goes on saying so.
"""

import json
from typing import Any

from django.db import IntegrityError, connection, transaction

from audit.canonical import canonical
from audit.ends import End, ends_of
from audit.hashing import leaf_of
from audit.statements import Statement

BATCH = 500

_NEXT_TEXT = "SELECT id, stream, body FROM audit_entry WHERE leaf IS NULL ORDER BY id LIMIT %s"
_NEXT = {"sqlite": Statement(_NEXT_TEXT), "postgresql": Statement(f"{_NEXT_TEXT} FOR UPDATE")}
_CHAIN = Statement(
    """UPDATE audit_entry SET body = %s, stream_seq = %s, prev_leaf = %s, leaf = %s
    WHERE id = %s AND leaf IS NULL"""
)
_FIRST = Statement("SELECT id FROM audit_entry WHERE leaf IS NULL ORDER BY id LIMIT 1")


def chain_unchained() -> int:
    """Chain every row that is not, in transactions of 500; how many. One look into an empty index where all are."""
    chained = 0
    while _FIRST.row() and (found := _chain_some()) is not None:
        chained += found
    return chained


def _chain_some() -> int | None:
    """How many rows; None where there are none."""
    try:
        with transaction.atomic():
            rows = _NEXT[connection.vendor].rows(BATCH)
            ends = ends_of({stream for _, stream, _ in rows})
            for pk, stream, body in sorted(rows, key=_by_stream):
                ends[stream] = _chain(pk, json.loads(body), ends[stream])
    except IntegrityError:  # somebody appended to one of these streams since we looked
        return 0
    return len(rows) or None


def _by_stream(row: tuple[Any, ...]) -> Any:
    pk, stream, _ = row
    return stream, pk


def _chain(pk: int, document: dict[str, Any], end: End) -> End:
    """Put one row at the end of its stream; the end that it is now."""
    body = canonical(document | {"stream_seq": end.seq + 1, "prev_leaf": end.leaf.hex()})
    following = End(end.seq + 1, leaf_of(body))
    _CHAIN.run(body, following.seq, end.leaf, following.leaf, pk)
    return following
