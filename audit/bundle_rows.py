"""What exports are written from, read from the database: see `audit.bundle`."""

from collections.abc import Iterator, Sequence
from functools import lru_cache

from audit.bundle import Anchor, Placed
from audit.hashing import SIZE
from audit.merkle import consistency_proof, frontier_of, inclusion_proof, tree_root
from audit.models import Entry, Segment
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
    for row in Segment.objects.filter(number__range=(first, last)).order_by("number").iterator(50):
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

    def entries(self, stream: str) -> Iterator[Placed]:
        """The entries of a stream from the first on, up to one that these segments do not hold."""
        rows = Entry.objects.filter(stream=stream, leaf__isnull=False).order_by("stream_seq")
        for pk, body in rows.values_list("id", "body").iterator(CHUNK):
            found = self._find(pk)
            if found is None:
                return
            yield Placed(body, *found)

    def _find(self, pk: int) -> tuple[int, int] | None:
        """Segment and index of an entry. No segment holds it before `highest_id` reaches its id: it stands there or,
        where it was committed late, a little further on."""
        later = Segment.objects.filter(highest_id__gte=pk, number__lte=self.last)
        for number in later.order_by("highest_id", "number").values_list("number", flat=True).iterator(50):
            index = self._indexes(number).get(pk)
            if index is not None:
                return number, index
        return None


def _indexes(number: int) -> dict[int, int]:
    """The index of each id of a segment."""
    packed = Segment.objects.values_list("ids", flat=True).get(number=number)
    return {each: index for index, each in enumerate(unpack(bytes(packed)))}


def segment_leaves(number: int) -> tuple[Record, Sequence[bytes]]:
    """Record and leaves of a segment."""
    row = Segment.objects.get(number=number)
    leaves = bytes(row.leaves)
    return segment_record(row), [leaves[at : at + SIZE] for at in range(0, len(leaves), SIZE)]
