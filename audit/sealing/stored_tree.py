"""The Merkle tree over all segments, whose nodes are stored with the segments.

Segment n holds the hashes of the perfect subtrees that end with it, so any root or proof takes a few rows, however many
segments there are.
"""

from functools import lru_cache

from audit.format.hashes import HASH_SIZE
from audit.format.merkle_tree import SubtreeHash, frontier_at
from audit.models import Segment


def stored_tree() -> SubtreeHash:
    """Return the function that looks up a perfect subtree. It reads each row once."""

    @lru_cache(maxsize=1024)
    def row(number: int) -> tuple[bytes, bytes]:
        found, nodes = Segment.objects.values_list("hash", "nodes").get(number=number)
        return bytes(found), bytes(nodes)

    def perfect(height: int, index: int) -> bytes:
        # A subtree's hash is stored with the last segment in it.
        found, nodes = row((index + 1) << height)
        return nodes[(height - 1) * HASH_SIZE : height * HASH_SIZE] if height else found

    return perfect


def segment_nodes(number: int, segment_hash: bytes) -> bytes:
    """Return the `nodes` of a new segment: the hashes of the perfect subtrees of two segments and more that end with
    it.
    """
    return b"".join(frontier_at(stored_tree(), number - 1).add_leaf(segment_hash))
