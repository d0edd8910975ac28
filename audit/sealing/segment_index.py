"""Finds the segment and the position of each entry, for proofs of inclusion."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain, takewhile

from audit.format.hashes import HASH_SIZE
from audit.format.id_ranges import unpack_ids
from audit.format.placement import PlacedEntry, PrunedHead
from audit.format.signed_records import Record
from audit.models import Entry, Segment, Stub
from audit.sealing.record_rows import entry_bodies, segment_record
from audit.sealing.signed_segments import is_signed

CHUNK = 500


class SegmentIndex:
    """Index from entries to their segments, for the segments up to `last`."""

    def __init__(self, last: int) -> None:
        self.last = last
        self._indexes = lru_cache(maxsize=64)(_positions_in_segment)
        self._pruned_heads: dict[str, PrunedHead] = {}

    def pruned_head(self, stream: str) -> PrunedHead | None:
        """Return the last pruned entry of a stream that `entries_by_stream` has yielded, or None."""
        return self._pruned_heads.get(stream)

    def entries_by_stream(self, names: Sequence[str]) -> Iterator[tuple[str, list[PlacedEntry]]]:
        """Yield streams with their entries, in the order of `names`, without streams that have none. All in memory."""
        rows: dict[str, list[tuple[int, str]]] = defaultdict(list)
        stored = Entry.objects.filter(stream__in=names).order_by("stream_seq")
        for pk, stream, body in entry_bodies(stored):
            rows[stream].append((pk, body))
        positions = self._find_positions({pk for some in rows.values() for pk, _ in some})
        self._pruned_heads = {
            stub.stream: _load_pruned_head(stub) for stub in Stub.objects.filter(stream__in=rows)
        }
        for name in names:
            # Up to the first entry that is not sealed: an exported stream has no gap.
            known = takewhile(lambda row: row[0] in positions, rows.get(name, ()))
            if placed := [PlacedEntry(body, *positions[pk]) for pk, body in known]:
                yield name, placed

    def _find_positions(self, waiting: set[int]) -> dict[int, tuple[int, int]]:
        """Return segment and index of the entries that the segments contain, by id."""
        positions: dict[int, tuple[int, int]] = {}
        for pk in sorted(waiting):
            if pk not in positions and (number := self.segment_of(pk)) is not None:
                indexes = self._indexes(number)
                positions |= {entry_id: (number, indexes[entry_id]) for entry_id in waiting & indexes.keys()}
        return positions

    def segment_of(self, pk: int) -> int | None:
        """Return the number of the segment that contains an entry, or None.

        No segment holds it before `highest_id` reaches its id: it is in that segment or, if it was committed late, in
        one soon after.
        """
        later = Segment.objects.filter(highest_id__gte=pk, number__lte=self.last)
        numbers = later.order_by("highest_id", "number").values_list("number", flat=True)
        # The first candidate holds the entry unless it was committed late, so the others are not fetched in advance.
        for number in chain(numbers[:1], numbers[1:].iterator(50)):
            if pk in self._indexes(number):
                return number
        return None


def _positions_in_segment(number: int) -> dict[int, int]:
    """Return the index of each id of a segment; none of a row that the hub did not sign."""
    if not is_signed(number):
        return {}
    packed = Segment.objects.values_list("ids", flat=True).get(number=number)
    return {entry_id: index for index, entry_id in enumerate(unpack_ids(bytes(packed)))}


def _load_pruned_head(stub: Stub) -> PrunedHead:
    leaves = load_segment_leaves(stub.segment)[1]
    return PrunedHead(stub.seq, stub.segment, leaves.index(bytes(stub.leaf)))


def load_segment_leaves(number: int) -> tuple[Record, Sequence[bytes]]:
    """Return record and leaves of a segment."""
    row = Segment.objects.get(number=number)
    leaves = bytes(row.leaves)
    return segment_record(row), [leaves[at : at + HASH_SIZE] for at in range(0, len(leaves), HASH_SIZE)]
