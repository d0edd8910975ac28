"""The Merkle tree over all segments, whose nodes are stored with the segments.

Segment n holds the hashes of the perfect subtrees that end with it, so any root or proof takes a few rows, however many
segments there are.
"""

from functools import lru_cache

from audit.format.hashes import HASH_SIZE, ZERO_HASH, node_hash
from audit.format.merkle_tree import SubtreeHash, frontier_at
from audit.models import Segment
from audit.sealing.signed_segments import COLUMNS, record_hash, signed_head


def stored_tree() -> SubtreeHash:
    """Return the function that looks up a perfect subtree. It reads each row once."""

    row = lru_cache(maxsize=1024)(_hash_and_nodes)

    def perfect(height: int, index: int) -> bytes:
        # A subtree's hash is stored with the last segment in it.
        found, nodes = row((index + 1) << height)
        if height == 0:
            return found
        if nodes is None:
            return node_hash(perfect(height - 1, 2 * index), perfect(height - 1, 2 * index + 1))
        return nodes[(height - 1) * HASH_SIZE : height * HASH_SIZE]

    return perfect


def _hash_and_nodes(number: int) -> tuple[bytes, bytes | None]:
    """Return the hash of a segment, and its nodes; None for a row that the hub did not sign."""
    *columns, nodes = Segment.objects.values_list(*COLUMNS, "nodes").get(number=number)
    if signed_head(tuple(columns)) is None:
        return record_hash(number) or ZERO_HASH, None
    return bytes(columns[1]), bytes(nodes)


def segment_nodes(number: int, segment_hash: bytes) -> bytes:
    """Return the `nodes` of a new segment: the hashes of the perfect subtrees of two segments and more that end with
    it.
    """
    return b"".join(frontier_at(stored_tree(), number - 1).add_leaf(segment_hash))
