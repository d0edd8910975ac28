"""A check of the hash chains of all audit log streams."""

from itertools import groupby

from audit.format.hashes import ZERO_HASH, leaf_hash
from audit.models import Entry


def find_chain_faults() -> list[str]:
    """Return a sentence for each gap and each wrong hash; an empty list if all chains are intact."""
    rows = Entry.objects.order_by("stream", "stream_seq", "id")
    found = []
    for stream, entries in groupby(rows, key=lambda entry: entry.stream):
        seq, leaf = 0, ZERO_HASH
        for entry in entries:
            if entry.stream_seq != seq + 1:
                found.append(f"{stream} {entry.stream_seq}: does not follow {seq}")
            if bytes(entry.prev_leaf) != leaf or bytes(entry.leaf) != leaf_hash(entry.body):
                found.append(f"{stream} {entry.stream_seq}: a hash is wrong")
            seq, leaf = entry.stream_seq, bytes(entry.leaf)
    return found
