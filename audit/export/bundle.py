"""Exports that prove themselves, written from iterables in constant memory. Pure; `docs/audit.md` has the format.

What is written stands in a folder of its own, with `manifest.json` last: an export without it was broken off. The
caller may put more files there before that, and gives their measures in `more`.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from audit.format.canonical_json import canonical
from audit.format.hashes import ZERO, leaf_of
from audit.format.merkle_tree import inclusion_proof, perfect_of
from audit.format.placement import Gone, Placed
from audit.format.signed_records import Record

SUMS = "SHA256SUMS"
Signs = Callable[
    [str, Record], Record
]  # kind and record: the record with the id of the key and the signature


@dataclass(frozen=True, slots=True)
class Facts:
    """What the manifest says in the exporter's own words: what was asked for, by whom, when, and of what state of the
    database. `at` is the text of the moment of signing, by the database's clock: the key must be valid then."""

    filter: Mapping[str, Any]
    by: str
    at: str
    snapshot: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Anchor:
    """What ties an export to the outside: keys, checkpoint, and the tree over the segments that it counts.

    `path` gives the inclusion proof of a segment by its number, `frontier` the perfect subtrees over the segments
    before it. `earlier`: lines of `consistency.jsonl`.
    """

    keys: Sequence[Record]
    checkpoint: Record
    path: Callable[[int], Sequence[bytes]]
    frontier: Callable[[int], Sequence[bytes]]
    earlier: Sequence[Record] = ()


class Lines:
    """A file that is written line by line and measured on the way."""

    def __init__(self, path: Path) -> None:
        self.count, self._size, self._digest = 0, 0, hashlib.sha256()
        self._file = path.open("wb")

    def add(self, line: str) -> None:
        content = line.encode("ascii") + b"\n"
        self._file.write(content)
        self._digest.update(content)
        self._size += len(content)
        self.count += 1

    def end(self) -> dict[str, Any]:
        """What the manifest says of it."""
        self._file.close()
        return {"bytes": self._size, "sha256": self._digest.hexdigest()}


class Bundle:
    """An export that is being written."""

    def __init__(self, folder: Path, anchor: Anchor) -> None:
        self.folder, self.anchor = folder, anchor
        self._lines: dict[str, Lines] = {}
        self._open("checkpoint.json").add(canonical(anchor.checkpoint))
        for each in anchor.earlier:
            self._open("consistency.jsonl").add(canonical(each))

    def _open(self, name: str) -> Lines:
        if name not in self._lines:
            self._lines[name] = Lines(self.folder / name)
        return self._lines[name]

    def whole(
        self, segments: Iterable[tuple[Record, bytes]], bodies: Iterable[str], pruned: int = 0
    ) -> dict[str, Any]:
        """Write consecutive segments, given with their packed ids, and the bodies of all their entries in order;
        the manifest's members about them. `pruned`: the segments up to this one would be there too, and their entries
        are kept no longer."""
        first = last = 0
        held: dict[str, Any] | None = None
        entries, lines = self._open("entries.jsonl"), self._open("segments.jsonl")
        for record, packed in segments:
            if held is not None:
                lines.add(canonical(held))
            held, last = {**record, "packed": packed.hex()}, record["number"]
            first = first or last
        if held is not None:
            lines.add(canonical(held | {"path": _hex(self.anchor.path(last))}))
        for body in bodies:
            entries.add(body)
        frontier = _hex(self.anchor.frontier(first)) if first else []
        return {"kind": "whole", "first": first, "last": last, "frontier": frontier, **_pruned(pruned)}

    def filtered(
        self,
        streams: Iterable[tuple[str, Iterable[Placed]]],
        segment: Callable[[int], tuple[Record, Sequence[bytes]]],
        pruned: int = 0,
        gone: Callable[[str], Gone | None] = lambda _: None,
    ) -> dict[str, Any]:
        """Write whole streams, each with its entries from the first on; the manifest's members about them.
        `segment`: record and leaves of the segment with a number. `pruned`: of the segments up to this one entries are
        kept no longer; `gone`: what the entries of a stream then continue."""
        used: dict[int, int] = {}
        tree = lru_cache(maxsize=64)(lambda number: perfect_of(segment(number)[1]))

        def proof(number: int, index: int) -> dict[str, Any]:
            if number not in used:
                used[number] = segment(number)[0]["count"]
            path = inclusion_proof(tree(number), index, used[number])
            return {"segment": number, "index": index, "path": _hex(path)}

        entries, proofs, ends = (self._open(f"{name}.jsonl") for name in ("entries", "proofs", "streams"))
        for stream, rows in streams:
            seq, leaf, begin = 0, ZERO, dict[str, Any]()
            if (before := gone(stream)) is not None:
                seq, begin = (
                    before.seq,
                    {"from": before.seq + 1, "before": proof(before.segment, before.index)},
                )
            for placed in rows:
                seq, leaf = seq + 1, leaf_of(placed.body)
                entries.add(placed.body)
                proofs.add(canonical(proof(placed.segment, placed.index)))
            ends.add(canonical({"stream": stream, "seq": seq, "leaf": leaf.hex(), **begin}))
        lines = self._open("segments.jsonl")
        for number in sorted(used):
            lines.add(canonical({**segment(number)[0], "path": _hex(self.anchor.path(number))}))
        bounds = {"first": min(used, default=0), "last": max(used, default=0)}
        return {"kind": "filtered", "frontier": []} | bounds | _pruned(pruned)

    def finish(
        self,
        said: Mapping[str, Any],
        facts: Facts,
        signs: Signs,
        more: Mapping[str, dict[str, Any]] | None = None,
        keys: Sequence[Record] = (),
    ) -> Record:
        """Write `SHA256SUMS` and the signed manifest, which is returned.

        `more`: the caller's files, as `measure` has them. `keys`: all that there are when it is signed, where one may
        have begun since the anchor was read. Takes no time to speak of: signing keys may be locked meanwhile.
        """
        self._open("keys.json").add(canonical({"v": 1, "keys": list(keys or self.anchor.keys)}))
        counts = {
            name: self._lines[f"{name}.jsonl"].count if f"{name}.jsonl" in self._lines else 0
            for name in ("entries", "segments", "streams")
        }
        files = {name: lines.end() for name, lines in self._lines.items()} | dict(more or {})
        files[SUMS] = self._sums(files)
        stated = {"filter": facts.filter, "by": facts.by, "at": facts.at, "snapshot": facts.snapshot}
        manifest = signs("manifest", {"v": 1, **said, **stated, **counts, "files": files})
        (self.folder / "manifest.json").write_bytes(canonical(manifest).encode() + b"\n")
        return manifest

    def _sums(self, files: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
        """What `sha256sum -c` reads."""
        lines = [f"{files[name]['sha256']}  {name}\n" for name in sorted(files)]
        (self.folder / SUMS).write_text("".join(lines), encoding="ascii")
        return measure(self.folder / SUMS)


def measure(path: Path) -> dict[str, Any]:
    """What the manifest says of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


def _pruned(segment: int) -> dict[str, int]:
    """A member of manifests of logs of which not all entries are kept."""
    return {"pruned": segment} if segment else {}


def _hex(hashes: Iterable[bytes]) -> list[str]:
    return [each.hex() for each in hashes]
