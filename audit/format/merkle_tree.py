"""Merkle trees of RFC 9162, section 2.1: roots, inclusion and consistency proofs, made and checked. Pure.

Functions read a tree through its perfect subtrees, so that the same ones serve a list of leaves and the tree over all
segments, whose nodes are in the database.
"""

from collections.abc import Callable, Sequence

from audit.format.hashes import node_hash, sha256_digest

# (height, index): the hash over the leaves index·2^height to (index + 1)·2^height - 1.
SubtreeHash = Callable[[int, int], bytes]


def subtree_hash_of(leaves: Sequence[bytes]) -> SubtreeHash:
    """Return the function that looks up the perfect subtrees over these leaves."""
    levels = [list(leaves)]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append([node_hash(below[at], below[at + 1]) for at in range(0, len(below) - 1, 2)])
    return lambda height, index: levels[height][index]


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Return the root hash of the tree over these leaves."""
    return tree_root(subtree_hash_of(leaves), len(leaves))


def tree_root(subtree_hash: SubtreeHash, size: int) -> bytes:
    """Return the root hash of the tree over the first `size` leaves."""
    return _range_hash(subtree_hash, 0, size) if size else sha256_digest(b"")


def inclusion_proof(subtree_hash: SubtreeHash, index: int, size: int) -> list[bytes]:
    """Return the hashes that lead from leaf `index` to the root over `size` leaves, the nearest first."""
    if not 0 <= index < size:
        raise IndexError(f"a tree of {size} leaves has no leaf {index}")
    return _inclusion_path(subtree_hash, index, 0, size)


def consistency_proof(subtree_hash: SubtreeHash, old: int, new: int) -> list[bytes]:
    """Return the hashes that show that the tree over `new` leaves begins with the tree over `old` leaves."""
    if not 0 < old <= new:
        raise IndexError(f"a tree of {old} leaves cannot grow into one of {new}")
    return _consistency_path(subtree_hash, old, 0, new, is_whole=True)


def root_from_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes | None:
    """Return the root to which an inclusion proof leads, or None if the proof has the wrong length."""
    if not 0 <= index < size:
        return None
    node, place, last = leaf, index, size - 1
    for sibling in proof:
        if last == 0:
            return None
        # A right child, or the last node of an odd level: its sibling is on the left.
        if place & 1 or place == last:
            node = node_hash(sibling, node)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        place, last = place >> 1, last >> 1
    return node if last == 0 else None


def is_consistent(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """True if the proof shows that the tree of `new` leaves begins with the tree of `old` leaves."""
    if not 0 < old <= new or (old == new and proof):
        return False
    if old == new:
        return old_root == new_root
    # An old tree of 2^n leaves is a perfect subtree of the new one, so the proof leaves out its root.
    steps = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    if not steps:
        return False
    first = second = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            first, second = node_hash(step, first), node_hash(step, second)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            second = node_hash(second, step)
        place, last = place >> 1, last >> 1
    return last == 0 and first == old_root and second == new_root


class TreeFrontier:
    """A tree that grows by one leaf at a time and keeps only the hashes of its perfect subtrees, the largest first."""

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        if size < 0 or size.bit_count() != len(peaks):
            raise ValueError(f"a tree of {size} leaves has {max(size, 0).bit_count()} perfect subtrees")
        self.size, self.peaks = size, list(peaks)

    def add_leaf(self, leaf: bytes) -> list[bytes]:
        """Add a leaf. Returns the hashes of the perfect subtrees of two leaves and more that it completes, smallest
        first.
        """
        completed, node = [], leaf
        # As in binary counting: each trailing 1 of the size is a perfect subtree that this leaf completes to a larger
        # one.
        for _ in range(_trailing_ones(self.size)):
            node = node_hash(self.peaks.pop(), node)
            completed.append(node)
        self.peaks.append(node)
        self.size += 1
        return completed

    def root_hash(self) -> bytes:
        """Return the root hash of the whole tree."""
        if not self.peaks:
            return sha256_digest(b"")
        node = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            node = node_hash(peak, node)
        return node


def frontier_at(subtree_hash: SubtreeHash, size: int) -> TreeFrontier:
    """Return the frontier of the tree over the first `size` leaves."""
    peaks, start = [], 0
    for height in range(size.bit_length() - 1, -1, -1):
        if size >> height & 1:
            peaks.append(subtree_hash(height, start >> height))
            start += 1 << height
    return TreeFrontier(size, peaks)


def _trailing_ones(number: int) -> int:
    return (~number & (number + 1)).bit_length() - 1


def _left_size(size: int) -> int:
    """Return the largest power of two below `size`: the number of leaves of the left subtree."""
    return 1 << (size - 1).bit_length() - 1


def _range_hash(subtree_hash: SubtreeHash, start: int, size: int) -> bytes:
    # A perfect subtree is looked up, so only the right edge of the tree is computed again.
    if size & (size - 1) == 0:
        height = size.bit_length() - 1
        return subtree_hash(height, start >> height)
    left = _left_size(size)
    return node_hash(
        _range_hash(subtree_hash, start, left), _range_hash(subtree_hash, start + left, size - left)
    )


def _inclusion_path(subtree_hash: SubtreeHash, index: int, start: int, size: int) -> list[bytes]:
    if size == 1:
        return []
    left = _left_size(size)
    if index < left:
        return [
            *_inclusion_path(subtree_hash, index, start, left),
            _range_hash(subtree_hash, start + left, size - left),
        ]
    return [
        *_inclusion_path(subtree_hash, index - left, start + left, size - left),
        _range_hash(subtree_hash, start, left),
    ]


def _consistency_path(
    subtree_hash: SubtreeHash, old: int, start: int, size: int, *, is_whole: bool
) -> list[bytes]:
    """Return SUBPROOF of RFC 9162, section 2.1.4.1. `is_whole`: the verifier already has the hash over these leaves."""
    if old == size:
        return [] if is_whole else [_range_hash(subtree_hash, start, size)]
    left = _left_size(size)
    if old <= left:
        rest = _range_hash(subtree_hash, start + left, size - left)
        return [*_consistency_path(subtree_hash, old, start, left, is_whole=is_whole), rest]
    first = _range_hash(subtree_hash, start, left)
    return [*_consistency_path(subtree_hash, old - left, start + left, size - left, is_whole=False), first]
