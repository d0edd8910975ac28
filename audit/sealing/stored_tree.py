"""The Merkle tree over all segments, whose nodes stand in the rows of the segments.

Segment n holds the hashes of the perfect subtrees that end with it, so that any root or proof takes a few rows however
many segments there are.
"""

from functools import lru_cache

from audit.format.hashes import HASH_SIZE
from audit.format.merkle_tree import SubtreeHash, frontier_at
from audit.models import Segment


def stored_tree() -> SubtreeHash:
    """The perfect subtrees as they are stored. Each row is read once."""

    @lru_cache(maxsize=1024)
    def row(number: int) -> tuple[bytes, bytes]:
        found, nodes = Segment.objects.values_list("hash", "nodes").get(number=number)
        return bytes(found), bytes(nodes)

    def perfect(height: int, index: int) -> bytes:
        found, nodes = row((index + 1) << height)
        return nodes[(height - 1) * HASH_SIZE : height * HASH_SIZE] if height else found

    return perfect


def segment_nodes(number: int, segment_hash: bytes) -> bytes:
    """What a new segment of that number has to hold: the subtrees of two and more that end with it."""
    return b"".join(frontier_at(stored_tree(), number - 1).add_leaf(segment_hash))
