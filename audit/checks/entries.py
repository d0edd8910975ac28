"""Checks of entries: their hashes, their details, and the chains of their streams. Pure."""

import json
from collections.abc import Iterable

from audit.checks.findings import EntryRow, Faults, IntegrityFault, StreamRow
from audit.format.canonical_json import canonical_json
from audit.format.hashes import ZERO_HASH, leaf_hash


def check_entry(row: EntryRow, sealed_leaf: bytes | None = None) -> Faults:
    """Yield the faults of one entry. `sealed_leaf` is its hash in the segment that holds it, if one does.

    The body has every column but `id` and `leaf` in it, so its hash changes with each of them.
    """
    leaf = _hash_body(row.body)
    # The leaf in the row proves nothing alone: whoever changes a column can change it too. The sealed one is signed.
    if sealed_leaf is None:
        if leaf != row.leaf:
            yield IntegrityFault(row.location, "its hash does not match its columns")
    else:
        if leaf != sealed_leaf:
            yield IntegrityFault(row.location, "its columns differ from the sealed entry")
        if row.leaf != sealed_leaf:
            yield IntegrityFault(row.location, "its hash differs from the sealed one")
    # The other columns are written into the body by a template, so only the details can spoil its form.
    if not _is_canonical_object(row.details):
        yield IntegrityFault(row.location, "its details are not the canonical JSON of an object")


def _hash_body(body: str | None) -> bytes | None:
    """Return the hash of a body. None, which equals no stored hash, for a body that is missing or not ASCII."""
    try:
        return None if body is None else leaf_hash(body)
    except UnicodeEncodeError:
        return None


def _is_canonical_object(text: str) -> bool:
    try:
        document = json.loads(text)
        # One value has one canonical text. Any other spelling of it is a fault.
        return isinstance(document, dict) and canonical_json(document) == text
    # Forged details can be nested deeply enough to exhaust the parser.
    except (TypeError, ValueError, RecursionError):
        return False


def check_streams(rows: Iterable[StreamRow]) -> Faults:
    """Yield the faults of the chains. `rows` are all entries, by stream and position in the stream."""
    stream, seq, leaf = "", 0, ZERO_HASH
    for row in rows:
        if row.stream != stream:
            # A stream whose first entries were pruned continues from its stub.
            stream, seq, leaf = row.stream, _position_or_zero(row.stub_seq), row.stub_leaf or ZERO_HASH
        if row.seq != seq + 1:
            yield IntegrityFault(f"stream {stream} at {row.seq}", f"does not follow {seq}")
        elif row.prev_leaf != leaf:
            yield IntegrityFault(f"stream {stream} at {row.seq}", "does not continue the entry before it")
        seq, leaf = _position_or_zero(row.seq), row.leaf


def _position_or_zero(seq: object) -> int:
    """Return a position in a stream; 0 for none, and for text, which SQLite can store there."""
    return seq if isinstance(seq, int) else 0
