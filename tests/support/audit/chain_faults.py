"""What must be true of every stream: no gap, and every hash right."""

import json
from itertools import groupby

from audit.format.hashes import ZERO_HASH, leaf_hash
from audit.models import Entry


def faults() -> list[str]:
    """What is wrong with the chains; nothing where all is well."""
    rows = Entry.objects.order_by("stream", "stream_seq", "id")
    found = []
    for stream, entries in groupby(rows, key=lambda each: each.stream):
        seq, leaf = 0, ZERO_HASH
        for entry in entries:
            body = json.loads(entry.body)
            said = (body["stream"], body["stream_seq"], body["prev_leaf"])
            if said != (stream, entry.stream_seq, leaf.hex()) or entry.stream_seq != seq + 1:
                found.append(f"{stream} {entry.stream_seq}: does not follow {seq}")
            if bytes(entry.prev_leaf) != leaf or bytes(entry.leaf) != leaf_hash(entry.body):
                found.append(f"{stream} {entry.stream_seq}: a hash is wrong")
            seq, leaf = entry.stream_seq, bytes(entry.leaf)
    return found
