"""Checks of entries: their hashes, their columns, and the chains of their streams. Pure."""

import json
from collections.abc import Iterable
from typing import Any

from audit.checks.findings import EntryRow, Faults, IntegrityFault, StreamRow
from audit.format.canonical_json import canonical_json
from audit.format.hashes import ZERO_HASH, leaf_hash

ENTRY_FIELDS = {"v", "stream", "stream_seq", "prev_leaf", "at", "action", "actor", "details"}


def check_entry(row: EntryRow, sealed_leaf: bytes | None = None) -> Faults:
    """Yield the faults of one entry. `sealed_leaf` is its hash in the segment that holds it, if one does."""
    try:
        leaf = leaf_hash(row.body)
    except UnicodeEncodeError:
        # Bodies are ASCII. A body that is not gets the fault below instead of an exception.
        leaf = b""
    # The leaf in the row proves nothing alone: whoever changes the body can change it too. The sealed one is signed.
    if sealed_leaf is not None and leaf != sealed_leaf:
        yield IntegrityFault(row.location, "its body differs from the sealed one")
    if leaf != row.leaf:
        yield IntegrityFault(row.location, "its hash does not match its body")
    if (body := _parse_body(row.body)) is None:
        yield IntegrityFault(row.location, "its body is not canonical JSON with the fields of an entry")
        return
    columns = {
        "stream": row.stream,
        "at": row.at,
        "action": row.action,
        "actor": row.actor,
        "stream_seq": row.stream_seq,
        "prev_leaf": row.prev_leaf.hex(),
    }
    for name, value in columns.items():
        if body[name] != value:
            yield IntegrityFault(row.location, f"its column {name} does not match its body")


def _parse_body(body: str) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
        is_good = (
            # One value has one canonical text. Any other spelling of it is a fault.
            isinstance(document, dict) and set(document) == ENTRY_FIELDS and canonical_json(document) == body
        )
    # A forged body can be nested deeply enough to exhaust the parser.
    except (TypeError, ValueError, RecursionError):
        return None
    return document if is_good and document["v"] == 1 else None


def check_streams(rows: Iterable[StreamRow]) -> Faults:
    """Yield the faults of the chains. `rows` are all entries, by stream and place in the stream."""
    stream, seq, leaf = "", 0, ZERO_HASH
    for row in rows:
        if row.stream != stream:
            # A stream whose first entries were pruned continues from its stub.
            stream, seq, leaf = row.stream, row.stub_seq or 0, row.stub_leaf or ZERO_HASH
        if row.seq != seq + 1:
            yield IntegrityFault(f"stream {stream} at {row.seq}", f"does not follow {seq}")
        elif row.prev_leaf != leaf:
            yield IntegrityFault(f"stream {stream} at {row.seq}", "does not continue the entry before it")
        seq, leaf = row.seq, row.leaf
