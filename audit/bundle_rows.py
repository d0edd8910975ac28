"""What exports are written from, read from the database: see `audit.bundle`."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain, takewhile

from audit.bundle import Anchor, Gone, Placed
from audit.hashing import SIZE
from audit.merkle import consistency_proof, frontier_of, inclusion_proof, tree_root
from audit.models import Entry, Segment, Stub
from audit.packing import unpack
from audit.records import Record
from audit.rows import key_records, segment_record
from audit.tree import stored_tree

CHUNK = 500


def anchor_of(checkpoint: Record, earlier: Sequence[int] = ()) -> Anchor:
    """What ties an export to this checkpoint. `earlier`: counts of checkpoints from which the way to it is proved."""
    tree, size = stored_tree(), checkpoint["count"]
    return Anchor(
        keys=key_records(),
        checkpoint=checkpoint,
        path=lambda number: inclusion_proof(tree, number - 1, size),
        frontier=lambda number: frontier_of(tree, number - 1).peaks,
        earlier=[
            {
                "count": count,
                "root": tree_root(tree, count).hex(),
                "proof": [each.hex() for each in consistency_proof(tree, count, size)],
            }
            for count in earlier
        ],
    )


def whole_segments(first: int, last: int) -> Iterator[tuple[Record, bytes]]:
    """The segments from one number to another, with their packed ids."""
    rows = Segment.objects.filter(number__range=(first, last)).order_by("number").defer("leaves", "nodes")
    for row in rows.iterator(50):
        yield segment_record(row), bytes(row.ids)


def whole_bodies(first: int, last: int) -> Iterator[str]:
    """The bodies of all their entries, in the order of segments and of ids in each."""
    rows = Segment.objects.filter(number__range=(first, last)).order_by("number")
    for packed in rows.values_list("ids", flat=True).iterator(50):
        ids = unpack(bytes(packed))
        for start in range(0, len(ids), CHUNK):
            some = Entry.objects.filter(id__in=ids[start : start + CHUNK]).order_by("id")
            yield from some.values_list("body", flat=True)


class Places:
    """Where entries stand, in the segments up to `last`."""

    def __init__(self, last: int) -> None:
        self.last = last
        self._indexes = lru_cache(maxsize=64)(_indexes)
        self._gone: dict[str, Gone] = {}

    def gone(self, stream: str) -> Gone | None:
        """What the entries of a stream continue that `streams` gave last; None where all of it are kept."""
        return self._gone.get(stream)

    def entries(self, stream: str) -> Iterator[Placed]:
        """The entries of a stream from the first on, up to one that these segments do not hold."""
        for _, placed in self.streams([stream]):
            yield from placed

    def streams(self, names: Sequence[str]) -> Iterator[tuple[str, list[Placed]]]:
        """The same of many streams at once, in memory; in their order, without those that have no entries."""
        rows: dict[str, list[tuple[int, str]]] = defaultdict(list)
        stored = Entry.objects.filter(stream__in=names).order_by("stream_seq")
        for stream, pk, body in stored.values_list("stream", "id", "body").iterator(CHUNK):
            rows[stream].append((pk, body))
        found = self._find({pk for some in rows.values() for pk, _ in some})
        self._gone = {each.stream: _gone(each) for each in Stub.objects.filter(stream__in=rows)}
        for name in names:
            known = takewhile(lambda row: row[0] in found, rows.get(name, ()))
            if placed := [Placed(body, *found[pk]) for pk, body in known]:
                yield name, placed

    def _find(self, waiting: set[int]) -> dict[int, tuple[int, int]]:
        """Segment and index of entries, by their ids; of those that stand in these segments."""
        found: dict[int, tuple[int, int]] = {}
        for pk in sorted(waiting):
            if pk not in found and (number := self.segment_of(pk)) is not None:
                indexes = self._indexes(number)
                found |= {each: (number, indexes[each]) for each in waiting & indexes.keys()}
        return found

    def segment_of(self, pk: int) -> int | None:
        """The number of the segment that holds an entry.

        No segment holds it before `highest_id` reaches its id: it stands there or, where it was committed
        late, a little further on.
        """
        later = Segment.objects.filter(highest_id__gte=pk, number__lte=self.last)
        numbers = later.order_by("highest_id", "number").values_list("number", flat=True)
        for number in chain(numbers[:1], numbers[1:].iterator(50)):
            if pk in self._indexes(number):
                return number
        return None


def _indexes(number: int) -> dict[int, int]:
    """The index of each id of a segment."""
    packed = Segment.objects.values_list("ids", flat=True).get(number=number)
    return {each: index for index, each in enumerate(unpack(bytes(packed)))}


def _gone(stub: Stub) -> Gone:
    leaves = segment_leaves(stub.segment)[1]
    return Gone(stub.seq, stub.segment, leaves.index(bytes(stub.leaf)))


def segment_leaves(number: int) -> tuple[Record, Sequence[bytes]]:
    """Record and leaves of a segment."""
    row = Segment.objects.get(number=number)
    leaves = bytes(row.leaves)
    return segment_record(row), [leaves[at : at + SIZE] for at in range(0, len(leaves), SIZE)]
