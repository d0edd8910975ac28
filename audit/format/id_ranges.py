"""Ids of a segment in as few bytes as they take, and sets of very many ids. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

IdRange = tuple[int, int]  # both ends included


class InvalidPackedIds(ValueError):
    """These bytes are not what `pack_ids` makes of any ids."""


def pack_ids(ids: Iterable[int]) -> bytes:
    """Ascending ids as their differences, each an unsigned LEB128 number. `ValueError` where they do not ascend."""
    packed, before = bytearray(), 0
    for each in ids:
        rest = each - before
        if rest < 1:
            raise ValueError("ids must be above 0 and ascend")
        while rest > 0x7F:
            packed.append(rest & 0x7F | 0x80)
            rest >>= 7
        packed.append(rest)
        before = each
    return bytes(packed)


def unpack_ids(packed: bytes) -> list[int]:
    """The ids; `InvalidPackedIds` for bytes that `pack_ids` would not have made."""
    ids, last, rest, shift = [], 0, 0, 0
    for byte in packed:
        rest |= (byte & 0x7F) << shift
        shift += 7
        if byte & 0x80:
            continue
        if rest == 0 or (byte == 0 and shift > 7) or shift > 63:
            raise InvalidPackedIds("a difference is 0 or takes more bytes than it needs")
        last += rest
        ids.append(last)
        rest = shift = 0
    if shift:
        raise InvalidPackedIds("the last difference is cut off")
    return ids


class IdSet:
    """A set of ids that are mostly consecutive: it costs memory for its gaps, not for its members."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []  # each included

    def add_ids(self, ids: Iterable[int]) -> list[int]:
        """Add ascending ids; those that were in it before."""
        return self.add_ranges(ranges_of(ids))

    def add_ranges(self, runs: Iterable[IdRange]) -> list[int]:
        """The same for ids that are given as runs."""
        known: list[int] = []
        for start, end in runs:
            known += self._add_range(start, end)
        return known

    def __contains__(self, each: int) -> bool:
        place = bisect_right(self._starts, each) - 1
        return place >= 0 and each <= self._ends[place]

    def missing_ranges(self, above: int) -> Iterator[IdRange]:
        """The ranges, both ends included, of what is not in it: above an id and below its largest member."""
        start = above + 1
        for place in range(bisect_left(self._ends, start), len(self._starts)):
            if start < self._starts[place]:
                yield start, self._starts[place] - 1
            start = self._ends[place] + 1

    @property
    def largest_id(self) -> int:
        """Its largest member; 0 where it is empty."""
        return self._ends[-1] if self._ends else 0

    def _add_range(self, start: int, end: int) -> list[int]:
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
    """Ascending ids as runs without gaps."""
    start = end = 0
    for each in ids:
        if start and each == end + 1:
            end = each
            continue
        if start:
            yield start, end
        start = end = each
    if start:
        yield start, end
