"""Exports that prove themselves, written from iterables in constant memory. Pure.

`docs/audit-format.md` has the format. An export is a folder of its own. `manifest.json` is written last: an export
without it is incomplete. The caller may write more files before that, and passes their sizes and hashes as
`other_files`.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from audit.format.canonical_json import canonical_json
from audit.format.hashes import ZERO_HASH, leaf_hash
from audit.format.merkle_tree import inclusion_proof, subtree_hash_of
from audit.format.placement import PlacedEntry, PrunedHead
from audit.format.signed_records import Record

CHECKSUM_FILE = "SHA256SUMS"
# Takes kind and record; returns the record with the id of the key and the signature.
SignRecord = Callable[[str, Record], Record]


@dataclass(frozen=True, slots=True)
class ManifestFacts:
    """The exporter's own statements in the manifest: filter, requester, time of signing, and state of the database.

    `signed_at` is the time as text, by the database's clock; the signing key must be valid then.
    """

    filter: Mapping[str, Any]
    exported_by: str
    signed_at: str
    snapshot: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CheckpointAnchor:
    """Proof material that ties an export to a checkpoint: keys, checkpoint, and the tree over the checkpoint's
    segments.

    `inclusion_path` returns the inclusion proof of a segment by its number, `frontier_before` the perfect subtrees over
    the segments before it. `consistency_proofs` are the lines of `consistency.jsonl`.
    """

    keys: Sequence[Record]
    checkpoint: Record
    inclusion_path: Callable[[int], Sequence[bytes]]
    frontier_before: Callable[[int], Sequence[bytes]]
    consistency_proofs: Sequence[Record] = ()


class LineFile:
    """A file that is written line by line. Its size and hash are computed while it is written."""

    def __init__(self, path: Path) -> None:
        self.count, self._size, self._digest = 0, 0, hashlib.sha256()
        self._file = path.open("wb")

    def write_line(self, line: str) -> None:
        # Canonical JSON is ASCII. Any other character is a defect, which must raise instead of reaching the evidence.
        content = line.encode("ascii") + b"\n"
        self._file.write(content)
        self._digest.update(content)
        self._size += len(content)
        self.count += 1

    def close_file(self) -> dict[str, Any]:
        """Close the file and return its size and hash for the manifest."""
        self._file.close()
        return {"bytes": self._size, "sha256": self._digest.hexdigest()}


class ExportBundle:
    """Writer of one export."""

    def __init__(self, folder: Path, anchor: CheckpointAnchor) -> None:
        self.folder, self.anchor = folder, anchor
        self._lines: dict[str, LineFile] = {}
        self._open_file("checkpoint.json").write_line(canonical_json(anchor.checkpoint))
        for consistency_proof in anchor.consistency_proofs:
            self._open_file("consistency.jsonl").write_line(canonical_json(consistency_proof))

    def _open_file(self, name: str) -> LineFile:
        if name not in self._lines:
            self._lines[name] = LineFile(self.folder / name)
        return self._lines[name]

    def write_segments(
        self, segments: Iterable[tuple[Record, bytes]], bodies: Iterable[str], pruned: int = 0
    ) -> dict[str, Any]:
        """Write consecutive segments with their packed ids, and the bodies of all their entries in order.

        Returns the manifest's fields about them. `pruned` is the last segment whose entries were deleted, if the export
        would otherwise begin before it; else 0.
        """
        first = last = 0
        held: dict[str, Any] | None = None
        entries, lines = self._open_file("entries.jsonl"), self._open_file("segments.jsonl")
        for record, packed in segments:
            # Only the last segment has a path: each other one is anchored by the `prev` of the next. Which one is the
            # last is known only when the next one is missing, so each line is written one segment late.
            if held is not None:
                lines.write_line(canonical_json(held))
            held, last = {**record, "packed": packed.hex()}, record["number"]
            first = first or last
        if held is not None:
            lines.write_line(canonical_json(held | {"path": _hex_texts(self.anchor.inclusion_path(last))}))
        for body in bodies:
            entries.write_line(body)
        frontier = _hex_texts(self.anchor.frontier_before(first)) if first else []
        return {"kind": "whole", "first": first, "last": last, "frontier": frontier, **_pruned_field(pruned)}

    def write_streams(
        self,
        streams: Iterable[tuple[str, Iterable[PlacedEntry]]],
        load_segment: Callable[[int], tuple[Record, Sequence[bytes]]],
        pruned: int = 0,
        pruned_head: Callable[[str], PrunedHead | None] = lambda _: None,
    ) -> dict[str, Any]:
        """Write whole streams, each with its entries from the first on. Returns the manifest's fields about them.

        `load_segment` returns record and leaves of the segment with this number. `pruned` is the last segment whose
        entries were deleted, or 0; `pruned_head` returns the last deleted entry of a stream, or None.
        """
        used: dict[int, int] = {}
        # The proofs of all entries of a segment need the same tree, and a segment has up to 5,000 leaves.
        tree = lru_cache(maxsize=64)(lambda number: subtree_hash_of(load_segment(number)[1]))

        def proof(number: int, index: int) -> dict[str, Any]:
            if number not in used:
                used[number] = load_segment(number)[0]["count"]
            path = inclusion_proof(tree(number), index, used[number])
            return {"segment": number, "index": index, "path": _hex_texts(path)}

        entries, proofs, ends = (
            self._open_file(f"{name}.jsonl") for name in ("entries", "proofs", "streams")
        )
        for stream, rows in streams:
            seq, leaf, begin = 0, ZERO_HASH, dict[str, Any]()
            if (before := pruned_head(stream)) is not None:
                seq, begin = (
                    before.seq,
                    {"from": before.seq + 1, "before": proof(before.segment, before.index)},
                )
            for placed in rows:
                seq, leaf = seq + 1, leaf_hash(placed.body)
                entries.write_line(placed.body)
                proofs.write_line(canonical_json(proof(placed.segment, placed.index)))
            ends.write_line(canonical_json({"stream": stream, "seq": seq, "leaf": leaf.hex(), **begin}))
        # After the streams, because their proofs decide which segments are needed.
        self._write_segments({number: load_segment(number)[0] for number in sorted(used)})
        bounds = {"first": min(used, default=0), "last": max(used, default=0)}
        return {"kind": "filtered", "frontier": []} | bounds | _pruned_field(pruned)

    def _write_segments(self, records: Mapping[int, Record]) -> None:
        """Write the segments that entries of the bundle are in, each with its path to the anchor's checkpoint."""
        lines = self._open_file("segments.jsonl")
        for number, record in records.items():
            path = self.anchor.inclusion_path(number)
            lines.write_line(canonical_json({**record, "path": _hex_texts(path)}))

    def write_manifest(
        self,
        contents: Mapping[str, Any],
        facts: ManifestFacts,
        sign_record: SignRecord,
        other_files: Mapping[str, dict[str, Any]] | None = None,
        keys: Sequence[Record] = (),
    ) -> Record:
        """Write `SHA256SUMS` and the signed manifest, which is returned.

        `other_files`: the caller's files, as `measure_file` returns them. `keys`: all keys at the time of signing, if
        one may have begun since the anchor was read. Fast enough to run while the signing keys are locked.
        """
        self._open_file("keys.json").write_line(
            canonical_json({"v": 1, "keys": list(keys or self.anchor.keys)})
        )
        counts = {
            name: self._lines[f"{name}.jsonl"].count if f"{name}.jsonl" in self._lines else 0
            for name in ("entries", "segments", "streams")
        }
        files = {name: lines.close_file() for name, lines in self._lines.items()} | dict(other_files or {})
        files[CHECKSUM_FILE] = self._write_checksums(files)
        stated = {
            "filter": facts.filter,
            "by": facts.exported_by,
            "at": facts.signed_at,
            "snapshot": facts.snapshot,
        }
        manifest = sign_record("manifest", {"v": 1, **contents, **stated, **counts, "files": files})
        (self.folder / "manifest.json").write_bytes(canonical_json(manifest).encode() + b"\n")
        return manifest

    def _write_checksums(self, files: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
        """Write the file that `sha256sum -c` reads, and return its size and hash."""
        lines = [f"{files[name]['sha256']}  {name}\n" for name in sorted(files)]
        (self.folder / CHECKSUM_FILE).write_text("".join(lines), encoding="ascii")
        return measure_file(self.folder / CHECKSUM_FILE)


def measure_file(path: Path) -> dict[str, Any]:
    """Return the size and hash of a file, as the manifest lists them."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


def _pruned_field(segment: int) -> dict[str, int]:
    """Return the manifest's field for a pruned log; no field if nothing was pruned."""
    return {"pruned": segment} if segment else {}


def _hex_texts(hashes: Iterable[bytes]) -> list[str]:
    return [hash_.hex() for hash_ in hashes]
