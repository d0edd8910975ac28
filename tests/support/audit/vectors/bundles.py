"""Exports of a small log of plain values, for the published test vectors: whole, filtered, in part, or pruned."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from audit.export.bundle import CheckpointAnchor, ExportBundle
from audit.format.canonical_json import canonical_json
from audit.format.hashes import ZERO_HASH, leaf_hash
from audit.format.id_ranges import pack_ids
from audit.format.merkle_tree import consistency_proof, merkle_root, subtree_hash_of
from audit.format.placement import PlacedEntry, PrunedHead
from audit.format.signed_records import Record, load_signer, sign_record
from tests.support.audit.log_state import LogState, anchor_for, build_log, manifest_facts

PRUNED = 2
PRUNING_STREAM = "retention:audit"


def small_log() -> LogState:
    """Return five segments of two or three entries under three keys. The keys are drawn from a published seed."""
    return build_log(Random("hub audit vectors 1"), segments=5, most=3)


def add_entry(state: LogState, stream: str, action: str, details: dict[str, Any]) -> None:
    """Append an entry to the last segment, and sign everything again."""
    entry, segment = max(state.bodies) + 1, state.segments[-1]
    facts = {"v": 1, "at": segment.record["sealed_at"], "actor": "system", "stream_seq": 0, "prev_leaf": ""}
    state.bodies[entry] = canonical_json({**facts, "stream": stream, "action": action, "details": details})
    segment.ids.append(entry)
    state.rechain()


def log_with_an_empty_segment() -> LogState:
    state = small_log()
    for entry in state.segments[2].ids:
        del state.bodies[entry], state.leaves[entry]
    state.rechain()
    return state


def older_log() -> LogState:
    """Return the log as it was when it had three segments."""
    state = small_log()
    state.segments = state.segments[:3]
    sealed = {entry for segment in state.segments for entry in segment.ids}
    state.bodies = {entry: body for entry, body in state.bodies.items() if entry in sealed}
    state.sign_checkpoint()
    return state


def log_with_an_erasure() -> LogState:
    state = small_log()
    details = {"pseudonyms": ["0123456789abcdef" * 4], "ground": "request", "counts": {"payloads": 3}}
    add_entry(state, "erasure:01M8HBWWN5EB4B3QKPYQ1Q4WCZ", "subject.erased", details)
    return state


def log_in_another_order() -> LogState:
    """Return a log in which two streams have an entry before the one that it continues.

    Ids are given in no promised order: one has a lower id in the same segment, one an id in an earlier segment.
    """
    state = small_log()
    for number in (1, 2):
        add_entry(state, "event:9", "test.happened", {"number": number})
    _swap(state, *state.segments[-1].ids[-2:])
    entries = [entry for entry in sorted(state.bodies) if state.read_body(entry)["stream"] == "event:2"]
    assert state.locate_entry(entries[0]) != state.locate_entry(entries[-1])
    _swap(state, entries[0], entries[-1])
    reseal_all(state)
    return state


def _swap(state: LogState, first: int, second: int) -> None:
    state.bodies[first], state.bodies[second] = state.bodies[second], state.bodies[first]


def log_with_a_late_segment() -> LogState:
    state = small_log()
    state.segments[3].record["late"] = True
    reseal_all(state)
    return state


def log_with_odd_characters() -> LogState:
    state = small_log()
    add_entry(state, "setting:route:1", "test.happened", {"text": "\x7f \u2028 \U0001f600"})
    return state


def pruned_log() -> LogState:
    """Return a log whose last segment announces that the entries of segments 1 and 2 were deleted."""
    state = small_log()
    segment = state.segments[PRUNED - 1]
    times = {"sealed_at": segment.record["sealed_at"], "up_to": state.segments[PRUNED].record["sealed_at"]}
    count = sum(len(each.ids) for each in state.segments[:PRUNED])
    details = {"segment": PRUNED, "hash": segment.hash.hex(), "days": 30, "entries": count, **times}
    add_entry(state, PRUNING_STREAM, "audit.pruned", details)
    return state


def reseal_all(state: LogState) -> None:
    """Compute and sign all segments and the checkpoint again, and leave the entries as they are."""
    before = ZERO_HASH
    for segment in state.segments:
        segment.ids = [entry for entry in segment.ids if entry in state.bodies]
        segment.leaves = [leaf_hash(state.bodies[entry]) for entry in segment.ids]
        place = state.key_at(segment.record["sealed_at"])
        segment.record |= {"prev": before.hex(), "key": state.keys[place]["key"]}
        state.reseal(segment, place)
        before = segment.hash
    state.sign_checkpoint()


def checkpoint_of(state: LogState, count: int) -> Record:
    """Return a checkpoint of the first `count` segments."""
    hashes = [segment.hash for segment in state.segments[:count]]
    unsigned = {
        **state.checkpoint,
        "count": count,
        "root": merkle_root(hashes).hex(),
        "head": hashes[-1].hex(),
    }
    return sign_record("checkpoint", unsigned, load_signer(state.secrets[-1]))


def consistency_lines(state: LogState, counts: Sequence[int]) -> list[Record]:
    """Return proofs that the checkpoints of these counts lead to the newest one."""
    hashes = [segment.hash for segment in state.segments]
    perfect = subtree_hash_of(hashes)
    return [
        {
            "count": count,
            "root": merkle_root(hashes[:count]).hex(),
            "proof": [hash_.hex() for hash_ in consistency_proof(perfect, count, len(hashes))],
        }
        for count in counts
    ]


def _begin(folder: Path, state: LogState, earlier: Sequence[int]) -> ExportBundle:
    folder.mkdir(parents=True)
    anchor = anchor_for(state, [segment.hash for segment in state.segments])
    proofs = consistency_lines(state, earlier)
    return ExportBundle(
        folder,
        CheckpointAnchor(
            anchor.keys, anchor.checkpoint, anchor.inclusion_path, anchor.frontier_before, proofs
        ),
    )


def write_whole(folder: Path, state: LogState, first: int = 1, last: int = 5, *, pruned: int = 0) -> None:
    """Write an export of the segments `first` to `last`; of none if `first` is higher."""
    bundle = _begin(folder, state, ())
    chosen = state.segments[first - 1 : last]
    bodies = [state.bodies[entry] for segment in chosen for entry in segment.ids]
    segments = [(segment.record, pack_ids(segment.ids)) for segment in chosen]
    bundle.write_manifest(bundle.write_segments(segments, bodies, pruned), *manifest_facts(state))


def write_filtered(
    folder: Path,
    state: LogState,
    streams: Sequence[str] | None = None,
    *,
    earlier: Sequence[int] = (),
    pruned: int = 0,
) -> None:
    """Write an export of these streams, or of all. With `pruned`, without the entries up to that segment."""
    bundle = _begin(folder, state, earlier)
    placed = _places(state)
    names = sorted(placed) if streams is None else streams

    def head(stream: str) -> PrunedHead | None:
        gone = [(seq, row) for seq, row in enumerate(placed[stream], start=1) if row.segment <= pruned]
        return PrunedHead(gone[-1][0], gone[-1][1].segment, gone[-1][1].index) if gone else None

    def rows(stream: str) -> Iterator[PlacedEntry]:
        return (row for row in placed[stream] if row.segment > pruned)

    contents = bundle.write_streams(
        ((stream, rows(stream)) for stream in names if any(rows(stream))),
        lambda number: (state.segments[number - 1].record, state.segments[number - 1].leaves),
        pruned,
        head,
    )
    bundle.write_manifest(contents, *manifest_facts(state))


def _places(state: LogState) -> dict[str, list[PlacedEntry]]:
    """Return the entries of each stream in their order, with segment and index."""
    placed: dict[str, list[PlacedEntry]] = {}
    for entry in sorted(state.bodies):
        segment, index = state.locate_entry(entry)
        stream = state.read_body(entry)["stream"]
        placed.setdefault(stream, []).append(
            PlacedEntry(state.bodies[entry], segment.record["number"], index)
        )
    return placed
