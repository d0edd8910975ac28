"""Checks of segments: their chain, the hashes of their entries, and their signatures. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from audit.checks.entries import check_entry
from audit.checks.findings import EntryRow, Faults, IntegrityFault, SegmentRow
from audit.checks.keys import KeyChain
from audit.format.hashes import HASH_SIZE, ZERO_HASH, segment_hash
from audit.format.id_ranges import IdSet, InvalidPackedIds, ranges_of, unpack_ids
from audit.format.merkle_tree import TreeFrontier, merkle_root
from audit.format.signed_records import Record, signed_text

LoadEntries = Callable[[Sequence[int]], Mapping[int, EntryRow]]
IsPruned = Callable[[int], bool]


Checkpoints = Iterable[tuple[str, Record]]  # places and records, in ascending order of their counts


@dataclass(slots=True)
class CheckProgress:
    """The state of a check: the last segment checked, and everything counted so far."""

    keys: KeyChain
    number: int = 0
    hash: bytes = ZERO_HASH
    sealed_at: str = ""
    highest_id: int = 0
    entries: int = 0
    sealed: IdSet = field(default_factory=IdSet)
    tree: TreeFrontier = field(default_factory=TreeFrontier)


def check_segments(
    rows: Iterable[SegmentRow],
    load_entries: LoadEntries,
    checkpoints: Checkpoints,
    progress: CheckProgress,
    is_pruned: IsPruned = lambda _: False,
) -> Faults:
    """Yield the faults of the segments, of every entry in them, and of their checkpoints.

    `load_entries` returns the rows of these ids; `is_pruned` is True for a segment whose entries are deleted as
    announced.
    """
    ahead = iter(checkpoints)
    following = next(ahead, None)
    for row in rows:
        yield from _check_order(row, progress)
        yield from progress.keys.check_signature("segment", row.location, row.record, row.record["sealed_at"])
        yield from _check_contents(row, load_entries, progress, is_pruned)
        yield from _check_tree(row, progress)
        # The tree keeps only its present frontier, so a checkpoint is compared as soon as the tree has its size.
        while following is not None and following[1]["count"] <= progress.tree.size:
            yield from _check_checkpoint(*following, progress)
            following = next(ahead, None)
    # The remaining checkpoints cover more segments than the database has: the last segments were deleted.
    while following is not None:
        yield from _check_checkpoint(*following, progress)
        following = next(ahead, None)


def _check_order(row: SegmentRow, progress: CheckProgress) -> Faults:
    record = row.record
    if record["number"] != progress.number + 1:
        yield IntegrityFault(row.location, f"comes after segment {progress.number}")
    if record["prev"] != progress.hash.hex():
        yield IntegrityFault(row.location, "does not continue the segment before it")
    if record["sealed_at"] < progress.sealed_at:
        yield IntegrityFault(row.location, "was sealed before the segment before it")
    progress.number, progress.sealed_at = record["number"], record["sealed_at"]


def _check_contents(
    row: SegmentRow, load_entries: LoadEntries, progress: CheckProgress, is_pruned: IsPruned
) -> Faults:
    record, leaves = (
        row.record,
        [row.leaves[at : at + HASH_SIZE] for at in range(0, len(row.leaves), HASH_SIZE)],
    )
    try:
        ids = unpack_ids(row.packed)
    except InvalidPackedIds:
        yield IntegrityFault(row.location, "its ids are unreadable")
        return
    if merkle_root(leaves).hex() != record["root"]:
        yield IntegrityFault(row.location, "its hashes differ from the signed ones")
    if not len(ids) == len(leaves) == record["count"]:
        yield IntegrityFault(
            row.location, f"has {len(ids)} ids and {len(leaves)} hashes instead of {record['count']}"
        )
    for entry_id in progress.sealed.add_ranges(ranges_of(ids)):
        yield IntegrityFault(row.location, f"contains entry {entry_id}, which is already sealed")
    # A late segment holds lower ids than the one before it, so the column never goes down.
    progress.highest_id = max(progress.highest_id, ids[-1] if ids else 0)
    progress.entries += len(ids)
    if row.highest_id != progress.highest_id:
        yield IntegrityFault(
            row.location, f"its highest id is {progress.highest_id}, but its column says {row.highest_id}"
        )
    entries = load_entries(ids)
    for entry_id, leaf in zip(ids, leaves, strict=False):
        if entry_id in entries:
            yield from check_entry(entries[entry_id], leaf)
        # Hash and signature of a pruned entry stay in its segment; only its row may be missing.
        elif not is_pruned(record["number"]):
            yield IntegrityFault(f"entry {entry_id} in {row.location}", "is missing")


def _check_tree(row: SegmentRow, progress: CheckProgress) -> Faults:
    # Recomputed from the signed fields: the stored hash and nodes are columns that a tamperer can change.
    progress.hash = segment_hash(signed_text("segment", row.record))
    nodes = b"".join(progress.tree.add_leaf(progress.hash))
    if (row.hash, row.nodes) != (progress.hash, nodes):
        yield IntegrityFault(row.location, "its stored hash or nodes do not match its record")


def _check_checkpoint(location: str, record: Record, progress: CheckProgress) -> Faults:
    """Yield the faults of a checkpoint once the check has reached its number of segments."""
    yield from progress.keys.check_signature("checkpoint", location, record, record["at"])
    count = record["count"]
    if count > progress.tree.size:
        yield IntegrityFault(location, f"covers {count} segments, but there are only {progress.tree.size}")
    elif (count, record["root"], record["head"]) != (
        progress.tree.size,
        progress.tree.root_hash().hex(),
        progress.hash.hex(),
    ):
        yield IntegrityFault(location, f"the first {count} segments differ from those that it covers")
