"""An audit log as plain values together with its private keys, which a test can tamper with, store and export."""

import json
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

from audit.export.bundle import CheckpointAnchor, ExportBundle, ManifestFacts
from audit.format.canonical_json import canonical_json
from audit.format.hashes import ZERO_HASH, leaf_hash, segment_hash, sha256_digest
from audit.format.id_ranges import pack_ids
from audit.format.merkle_tree import frontier_at, inclusion_proof, merkle_root, subtree_hash_of
from audit.format.placement import PlacedEntry
from audit.format.segment_record import SegmentHead, unsigned_segment
from audit.format.signed_records import (
    Record,
    format_time,
    key_id,
    load_signer,
    public_key,
    sign_record,
    signed_text,
)
from tests.support.audit.entries import START, after_start

STEP = 61.0  # seconds between segments


@dataclass
class Segment:
    """One segment: its signed record, and the ids and leaf hashes of its entries."""

    record: dict[str, Any]
    ids: list[int]
    leaves: list[bytes]

    @property
    def hash(self) -> bytes:
        return segment_hash(signed_text("segment", self.record))


@dataclass
class LogState:
    """Everything that the database holds of an audit log. `secrets`: the private keys, in the order of `keys`."""

    bodies: dict[int, str]
    leaves: dict[int, bytes]
    segments: list[Segment]
    keys: list[dict[str, Any]]
    secrets: list[bytes]
    checkpoint: dict[str, Any] = field(default_factory=dict)

    def copy(self) -> "LogState":
        return deepcopy(self)

    def key_at(self, at: str) -> int:
        """Return the index of the key that is valid at a time."""
        return max(place for place, key in enumerate(self.keys) if key["from"] <= at)

    def read_body(self, entry: int) -> dict[str, Any]:
        return dict(json.loads(self.bodies[entry]))

    def locate_entry(self, entry: int) -> tuple[Segment, int]:
        """Return the segment that holds an entry, and the position of the entry in it."""
        return next((segment, segment.ids.index(entry)) for segment in self.segments if entry in segment.ids)

    def sign_checkpoint(self) -> None:
        """Sign a checkpoint of these segments with the newest key."""
        hashes = [segment.hash for segment in self.segments]
        unsigned = {
            "v": 1,
            "count": len(hashes),
            "root": merkle_root(hashes).hex(),
            "head": hashes[-1].hex(),
            "at": format_time(after_start(10_000)),
            "key": self.keys[-1]["key"],
        }
        self.checkpoint = sign_record("checkpoint", unsigned, load_signer(self.secrets[-1]))

    def reseal(self, segment: Segment, secret: int | None = None) -> None:
        """Recompute count, ids hash and root of a segment. Signs it if the index of a secret is given."""
        segment.record |= {
            "count": len(segment.ids),
            "ids": sha256_digest(pack_ids(segment.ids)).hex(),
            "root": merkle_root(segment.leaves).hex(),
        }
        if secret is not None:
            segment.record = sign_record("segment", segment.record, load_signer(self.secrets[secret]))

    def rechain(self, stolen: int | None = None) -> None:
        """Recompute all chains, segments, signatures and the checkpoint.

        Signs each segment with the key of its time, or all of them with the key of index `stolen`.
        """
        ends: dict[str, tuple[int, bytes]] = {}
        for entry in sorted(self.bodies):
            body = self.read_body(entry)
            seq, leaf = ends.get(body["stream"], (0, ZERO_HASH))
            self.bodies[entry] = canonical_json(body | {"stream_seq": seq + 1, "prev_leaf": leaf.hex()})
            self.leaves[entry] = leaf_hash(self.bodies[entry])
            ends[body["stream"]] = (seq + 1, self.leaves[entry])
        before = ZERO_HASH
        for number, segment in enumerate(self.segments, start=1):
            segment.ids = [entry for entry in segment.ids if entry in self.bodies]
            segment.leaves = [self.leaves[entry] for entry in segment.ids]
            segment.record |= {"number": number, "prev": before.hex()}
            place = self.key_at(segment.record["sealed_at"]) if stolen is None else stolen
            segment.record["key"] = self.keys[place]["key"]
            self.reseal(segment, place)
            before = segment.hash
        self.sign_checkpoint()


def build_log(generator: Random, segments: int = 8, most: int = 8) -> LogState:
    """Build an untampered log of `segments` segments of 2 to `most` entries of five streams, under three keys."""
    state = LogState({}, {}, [], [], [generator.randbytes(32) for _ in range(3)])
    for place, secret in enumerate(state.secrets):
        before = state.keys[-1] if state.keys else None
        public = public_key(secret)
        begins = START if before is None else after_start(STEP * segments * place / 3)
        unsigned = {
            "v": 1,
            "number": place + 1,
            "key": key_id(public),
            "public": public.hex(),
            "prev": before["key"] if before else "",
            "from": format_time(begins),
        }
        state.keys.append(sign_record("key", unsigned, load_signer(state.secrets[max(place - 1, 0)])))
    last, entry = SegmentHead(), 0
    begun = [
        {"stream": "setting:signing-key", "action": "signing-key.begun", "details": dict(key)}
        for key in state.keys
    ]
    for number in range(1, segments + 1):
        at = START + timedelta(seconds=STEP * number)
        news = begun if number == 1 else []
        news = news + [random_entry(generator) for _ in range(generator.randint(2, most))]
        for what in news:
            entry += generator.choice([1, 1, 1, 2])
            state.bodies[entry] = canonical_json(
                {"v": 1, "at": format_time(at), "actor": "system", "stream_seq": 0, "prev_leaf": "", **what}
            )
        ids = [entry for entry in state.bodies if entry > last.highest_id]
        key = state.keys[state.key_at(format_time(at))]["key"]
        record = unsigned_segment(last, [(entry_id, ZERO_HASH) for entry_id in ids], at, key, is_late=False)
        state.segments.append(Segment({**record, "signature": ""}, ids, []))
        last = SegmentHead(number, ZERO_HASH, at, entry)
    state.rechain()
    return state


def random_entry(generator: Random) -> dict[str, Any]:
    details = {"number": generator.randrange(1000), "code": generator.choice(["a", "b"])}
    return {"stream": f"event:{generator.randrange(5)}", "action": "test.happened", "details": details}


def anchor_for(state: LogState, hashes: Sequence[bytes]) -> CheckpointAnchor:
    perfect = subtree_hash_of(hashes)
    size = state.checkpoint["count"]

    def path(number: int) -> list[bytes]:
        return inclusion_proof(perfect, number - 1, min(size, len(hashes))) if number <= len(hashes) else []

    return CheckpointAnchor(
        keys=state.keys,
        checkpoint=state.checkpoint,
        inclusion_path=path,
        frontier_before=lambda number: frontier_at(perfect, number - 1).peaks,
    )


def manifest_facts(state: LogState) -> tuple[ManifestFacts, Callable[[str, Record], Record]]:
    """Return the facts that an exporter adds to a manifest, and a function that signs with the newest key."""
    by = load_signer(state.secrets[-1])
    return (
        ManifestFacts({}, "person:1", format_time(after_start(20_000)), {}),
        lambda kind, record: sign_record(kind, {**record, "key": state.keys[-1]["key"]}, by),
    )


def write_whole_export(folder: Path, state: LogState, left_out: int = 0) -> None:
    """Write an export of all segments without the entry `left_out` (0: complete)."""
    folder.mkdir()
    hashes = [segment.hash for segment in state.segments]
    bundle = ExportBundle(folder, anchor_for(state, hashes))
    bodies = [
        state.bodies[entry]
        for one in state.segments
        for entry in one.ids
        if entry in state.bodies and entry != left_out
    ]
    contents = bundle.write_segments(
        ((segment.record, pack_ids(segment.ids)) for segment in state.segments), bodies
    )
    bundle.write_manifest(contents, *manifest_facts(state))


def write_filtered_export(folder: Path, state: LogState, left_out: int = 0) -> None:
    """Write an export of every stream without the entry `left_out` (0: complete)."""
    folder.mkdir()
    hashes = [segment.hash for segment in state.segments]
    bundle = ExportBundle(folder, anchor_for(state, hashes))
    by_number = {segment.record["number"]: segment for segment in state.segments}
    streams: dict[str, list[int]] = {}
    for entry in sorted(state.bodies, key=lambda entry: (state.read_body(entry)["stream_seq"], entry)):
        streams.setdefault(state.read_body(entry)["stream"], []).append(entry)

    def placed(entries: list[int]) -> Iterator[PlacedEntry]:
        for entry in entries:
            found = [(one, one.ids.index(entry)) for one in state.segments if entry in one.ids]
            if entry != left_out and found:
                yield PlacedEntry(state.bodies[entry], found[0][0].record["number"], found[0][1])

    contents = bundle.write_streams(
        ((stream, placed(entries)) for stream, entries in sorted(streams.items())),
        lambda number: (by_number[number].record, by_number[number].leaves),
    )
    bundle.write_manifest(contents, *manifest_facts(state))
