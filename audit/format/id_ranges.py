"""Compact encoding of a segment's ids, and sets of very many ids. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

IdRange = tuple[int, int]  # both ends included


class InvalidPackedIds(ValueError):
    """The bytes are not the result of `pack_ids`."""


def pack_ids(ids: Iterable[int]) -> bytes:
    """Encode ascending ids as their differences, each an unsigned LEB128 number. Raises ValueError if they do not
    ascend.
    """
    packed, before = bytearray(), 0
    for entry_id in ids:
        rest = entry_id - before
        if rest < 1:
            raise ValueError("ids must be above 0 and ascend")
        while rest > 0x7F:
            packed.append(rest & 0x7F | 0x80)
            rest >>= 7
        packed.append(rest)
        before = entry_id
    return bytes(packed)


def unpack_ids(packed: bytes) -> list[int]:
    """Decode packed ids. Raises InvalidPackedIds for bytes that `pack_ids` would not have made."""
    ids, last, rest, shift = [], 0, 0, 0
    for byte in packed:
        rest |= (byte & 0x7F) << shift
        shift += 7
        if byte & 0x80:
            continue
        # Each id list must have one encoding only, or the same signed bytes could be written differently.
        if rest == 0 or (byte == 0 and shift > 7) or shift > 63:
            raise InvalidPackedIds("a difference is 0 or takes more bytes than it needs")
        last += rest
        ids.append(last)
        rest = shift = 0
    if shift:
        raise InvalidPackedIds("the last difference is cut off")
    return ids


class IdSet:
    """A set of mostly consecutive ids. Its memory grows with its gaps, not with its ids."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []  # each included

    def add_ids(self, ids: Iterable[int]) -> list[int]:
        """Add ascending ids. Returns those that were in the set before."""
        return self.add_ranges(ranges_of(ids))

    def add_ranges(self, runs: Iterable[IdRange]) -> list[int]:
        """Add ranges of ids. Returns the ids that were in the set before."""
        known: list[int] = []
        for start, end in runs:
            known += self._add_range(start, end)
        return known

    def __contains__(self, entry_id: int) -> bool:
        place = bisect_right(self._starts, entry_id) - 1
        return place >= 0 and entry_id <= self._ends[place]

    def missing_ranges(self, above: int) -> Iterator[IdRange]:
        """Yield the ranges of ids that are not in the set, between `above` (excluded) and the largest id of the set."""
        start = above + 1
        for place in range(bisect_left(self._ends, start), len(self._starts)):
            if start < self._starts[place]:
                yield start, self._starts[place] - 1
            start = self._ends[place] + 1

    @property
    def largest_id(self) -> int:
        """The largest id of the set, or 0 if it is empty."""
        return self._ends[-1] if self._ends else 0

    def _add_range(self, start: int, end: int) -> list[int]:
        # Ranges that only touch are merged too: consecutive ids stay one range.
        first = bisect_left(self._ends, start - 1)
        last = bisect_right(self._starts, end + 1)
        known: list[int] = []
        if first < last:
            for low, high in zip(self._starts[first:last], self._ends[first:last], strict=True):
                known += range(max(low, start), min(high, end) + 1)
            start, end = min(start, self._starts[first]), max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]
        return known


def ranges_of(ids: Iterable[int]) -> Iterator[IdRange]:
    """Yield ascending ids as ranges without gaps."""
    start = end = 0
    for entry_id in ids:
        if start and entry_id == end + 1:
            end = entry_id
            continue
        if start:
            yield start, end
        start = end = entry_id
    if start:
        yield start, end
