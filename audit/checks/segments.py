"""Whether segments follow each other, hold what their entries hash to, and are signed. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from audit.checks.entries import check_entry
from audit.checks.findings import EntryRow, Fault, Faults, SegmentRow
from audit.checks.keys import Keys
from audit.format.hashes import SIZE, ZERO, segment_hash
from audit.format.id_ranges import IdSet, NotPacked, runs_of, unpack
from audit.format.merkle_tree import Frontier, root_of
from audit.format.signed_records import Record, statement

Entries = Callable[[Sequence[int]], Mapping[int, EntryRow]]
LetGo = Callable[[int], bool]


Checkpoints = Iterable[tuple[str, Record]]  # places and records, in ascending order of their counts


@dataclass(slots=True)
class Walk:
    """How far a check has come."""

    keys: Keys
    number: int = 0
    hash: bytes = ZERO
    sealed_at: str = ""
    highest_id: int = 0
    entries: int = 0
    sealed: IdSet = field(default_factory=IdSet)
    tree: Frontier = field(default_factory=Frontier)


def check_segments(
    rows: Iterable[SegmentRow],
    entries: Entries,
    checkpoints: Checkpoints,
    walk: Walk,
    let_go: LetGo = lambda _: False,
) -> Faults:
    """What is wrong with the segments, with every entry that they hold, and with the checkpoints of them. `entries`
    gives the rows of these ids; `let_go` says of which segments they are kept no longer."""
    ahead = iter(checkpoints)
    following = next(ahead, None)
    for row in rows:
        yield from _check_order(row, walk)
        yield from walk.keys.faults("segment", row.place, row.record, row.record["sealed_at"])
        yield from _check_contents(row, entries, walk, let_go)
        yield from _check_tree(row, walk)
        while following is not None and following[1]["count"] <= walk.tree.size:
            yield from _check_checkpoint(*following, walk)
            following = next(ahead, None)
    while following is not None:
        yield from _check_checkpoint(*following, walk)
        following = next(ahead, None)


def _check_order(row: SegmentRow, walk: Walk) -> Faults:
    record = row.record
    if record["number"] != walk.number + 1:
        yield Fault(row.place, f"comes after segment {walk.number}")
    if record["prev"] != walk.hash.hex():
        yield Fault(row.place, "does not continue the segment before it")
    if record["sealed_at"] < walk.sealed_at:
        yield Fault(row.place, "was sealed before the segment before it")
    walk.number, walk.sealed_at = record["number"], record["sealed_at"]


def _check_contents(row: SegmentRow, entries: Entries, walk: Walk, let_go: LetGo) -> Faults:
    record, leaves = row.record, [row.leaves[at : at + SIZE] for at in range(0, len(row.leaves), SIZE)]
    try:
        ids = unpack(row.packed)
    except NotPacked:
        yield Fault(row.place, "its ids cannot be read")
        return
    if root_of(leaves).hex() != record["root"]:
        yield Fault(row.place, "its hashes are not those that were signed")
    if not len(ids) == len(leaves) == record["count"]:
        yield Fault(row.place, f"has {len(ids)} ids and {len(leaves)} hashes, and says {record['count']}")
    for each in walk.sealed.add_runs(runs_of(ids)):
        yield Fault(row.place, f"holds entry {each}, which is sealed already")
    walk.highest_id = max(walk.highest_id, ids[-1] if ids else 0)
    walk.entries += len(ids)
    if row.highest_id != walk.highest_id:
        yield Fault(row.place, f"its highest id is {walk.highest_id}, and its column says {row.highest_id}")
    found = entries(ids)
    for each, leaf in zip(ids, leaves, strict=False):
        if each in found:
            yield from check_entry(found[each], leaf)
        elif not let_go(record["number"]):
            yield Fault(f"entry {each} in {row.place}", "is missing")


def _check_tree(row: SegmentRow, walk: Walk) -> Faults:
    walk.hash = segment_hash(statement("segment", row.record))
    nodes = b"".join(walk.tree.push(walk.hash))
    if (row.hash, row.nodes) != (walk.hash, nodes):
        yield Fault(row.place, "its stored hash or nodes are not those of its record")


def _check_checkpoint(place: str, record: Record, walk: Walk) -> Faults:
    """What is wrong with a checkpoint, when the walk has come to its count."""
    yield from walk.keys.faults("checkpoint", place, record, record["at"])
    count = record["count"]
    if count > walk.tree.size:
        yield Fault(place, f"knows {count} segments, and there are {walk.tree.size}")
    elif (count, record["root"], record["head"]) != (walk.tree.size, walk.tree.root().hex(), walk.hash.hex()):
        yield Fault(place, f"the first {count} segments are not those that it was made for")
