"""Reads the content of exports from the database: see `audit.export.bundle`."""

from collections.abc import Iterator, Sequence

from audit.export.bundle import CheckpointAnchor
from audit.format.id_ranges import unpack_ids
from audit.format.merkle_tree import consistency_proof, frontier_at, inclusion_proof, tree_root
from audit.format.signed_records import Record
from audit.models import Entry, Segment
from audit.sealing.record_rows import entry_bodies, key_records, segment_record
from audit.sealing.segment_index import CHUNK
from audit.sealing.stored_tree import stored_tree


def load_anchor(checkpoint: Record, earlier_counts: Sequence[int] = ()) -> CheckpointAnchor:
    """Load what anchors an export in a checkpoint, with consistency proofs from `earlier_counts`."""
    tree, size = stored_tree(), checkpoint["count"]
    return CheckpointAnchor(
        keys=key_records(),
        checkpoint=checkpoint,
        inclusion_path=lambda number: inclusion_proof(tree, number - 1, size),
        frontier_before=lambda number: frontier_at(tree, number - 1).peaks,
        consistency_proofs=[
            {
                "count": count,
                "root": tree_root(tree, count).hex(),
                "proof": [hash_.hex() for hash_ in consistency_proof(tree, count, size)],
            }
            for count in earlier_counts
        ],
    )


def load_segments(first: int, last: int) -> Iterator[tuple[Record, bytes]]:
    """Yield the segments of these numbers, both ends included, with their packed ids."""
    # A whole export has the entries themselves. Their leaves take 32 bytes each and would be read for nothing.
    rows = Segment.objects.filter(number__range=(first, last)).order_by("number").defer("leaves", "nodes")
    for row in rows.iterator(50):
        yield segment_record(row), bytes(row.ids)


def load_bodies(first: int, last: int) -> Iterator[str]:
    """Yield the bodies of all entries of these segments, by segment and id."""
    rows = Segment.objects.filter(number__range=(first, last)).order_by("number")
    for packed in rows.values_list("ids", flat=True).iterator(50):
        ids = unpack_ids(bytes(packed))
        for start in range(0, len(ids), CHUNK):
            batch = Entry.objects.filter(id__in=ids[start : start + CHUNK]).order_by("id")
            yield from (body for _, _, body in entry_bodies(batch))
