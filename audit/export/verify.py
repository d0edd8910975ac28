#!/usr/bin/env python3
"""Checks an export of the audit log: python3 verify.py [FOLDER] [--checkpoint FILE]

Needs Python 3.9 or newer and nothing else. docs/audit-format.md has the formats and the order of the checks. Prints
each fault with its code and place and ends with 1, or says what was verified and ends with 0; 2: an argument is wrong.
"""

# Before Python 3.10 an annotation such as `bytes | None` can be written, but not evaluated.
from __future__ import annotations

import argparse
import functools
import hashlib
import json
import os
import re
import stat
import sys
from collections.abc import Iterator
from typing import Any

Record = dict[str, Any]
Point = tuple[int, int, int, int]
# Everything that a damaged or forged file can raise while it is parsed. It is reported as a fault of that file.
PARSE_ERRORS = (
    KeyError,
    TypeError,
    ValueError,
    IndexError,
    AttributeError,
    RecursionError,
    OverflowError,
    OSError,
)
ZERO = bytes(32)
TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
SIGNED_FIELDS = {
    "segment": ["v", "number", "prev", "count", "ids", "root", "sealed_at", "key", "late"],
    "key": ["v", "number", "key", "public", "prev", "from"],
    "checkpoint": ["v", "count", "root", "head", "at", "key"],
    "manifest": [
        *["v", "kind", "filter", "by", "at", "snapshot", "entries", "segments", "streams"],
        *["first", "last", "frontier", "files", "key"],
    ],
}
NUMBERS = {
    *("v", "number", "count", "entries", "segments", "streams", "first", "last", "pruned"),
    *("segment", "index", "seq", "stream_seq"),
}
ENTRY_FIELDS = {"v", "stream", "stream_seq", "prev_leaf", "at", "action", "actor", "details"}

# ---- Ed25519 (RFC 8032, section 5.1), with tables of multiples: many signatures are by few keys

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)


def add_points(a: Point, b: Point) -> Point:
    left, right = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    product, double = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = right - left, double - product, double + product, right + left
    return e * f % P, g * h % P, f * g % P, e * h % P


def decode_point(encoded: bytes) -> Point | None:
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if len(encoded) != 32 or y >= P or (x * x - square) % P or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


BASE = decode_point(bytes.fromhex("58" + "66" * 31)) or (0, 1, 1, 0)


@functools.lru_cache(maxsize=512)
def multiples_of_point(of: Point) -> list[list[Point]]:
    """Return 64 rows: row n has 0 to 15 times 16^n times the point."""
    rows = []
    for _ in range(64):
        row: list[Point] = [(0, 1, 1, 0)]
        while len(row) < 16:
            row.append(add_points(row[-1], of))
        rows.append(row)
        of = add_points(row[-1], of)
    return rows


def multiply_point(number: int, rows: list[list[Point]]) -> Point:
    found: Point = (0, 1, 1, 0)
    for row in rows:
        found, number = add_points(found, row[number & 15]), number >> 4
    return found


class PublicKey:
    """A public key, and the times from and until which it is valid."""

    def __init__(self, public: bytes, begins: str) -> None:
        self.public, self.valid_from, self.valid_until = public, begins, ""
        found = decode_point(public)
        self.negative_multiples = (
            multiples_of_point((P - found[0], found[1], 1, P - found[3])) if found else None
        )

    def has_signed(self, signature: bytes, message: bytes) -> bool:
        scalar = int.from_bytes(signature[32:], "little")
        # A scalar of ORDER or more would be a second spelling of the same signature (RFC 8032, section 5.1.7).
        if self.negative_multiples is None or len(signature) != 64 or scalar >= ORDER:
            return False
        challenge = hashlib.sha512(signature[:32] + self.public + message).digest()
        x, y, z, _ = add_points(
            multiply_point(scalar, multiples_of_point(BASE)),
            multiply_point(int.from_bytes(challenge, "little") % ORDER, self.negative_multiples),
        )
        inverse = pow(z, -1, P)
        encoded = (y * inverse % P) | ((x * inverse % P & 1) << 255)
        return encoded.to_bytes(32, "little") == signature[:32]


# ---- JSON, hashes, trees


def refuse_number(text: str) -> Any:
    raise ValueError(f"invalid number: {text[:20]}")


def parse_integer(text: str) -> int:
    # The length is checked first, because converting a very long number takes quadratic time.
    return int(text) if len(text) < 18 and abs(int(text)) < 2**53 else refuse_number(text)


def canonical_json(document: Any) -> str:
    return json.dumps(document, sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False)


def parse_canonical_json(content: bytes) -> Record:
    """Parse a canonical JSON object. ValueError for anything else."""
    text = content.decode("ascii")
    document = json.loads(
        text, parse_float=refuse_number, parse_constant=refuse_number, parse_int=parse_integer
    )
    if not isinstance(document, dict) or canonical_json(document) != text:
        raise ValueError("not a canonical JSON object")
    return document


def pruned_field(record: Record) -> list[str]:
    """Return the name of the field that only the manifest of a pruned log has."""
    return ["pruned"] if "pruned" in record else []


def require_fields(record: Record, *names: str) -> Record:
    if type(version := record.get("v")) is int and version > 1:
        raise ValueError(f"is of version {version} of its format, which needs the program of a newer hub")
    if set(record) != set(names):
        raise ValueError(f"does not have exactly the fields {', '.join(sorted(names))}")
    for name in NUMBERS & set(record):
        # In Python `true` equals 1.
        if type(record[name]) is not int:
            raise ValueError(f"its field {name} is not a whole number")
    if type(record.get("late", False)) is not bool:
        raise ValueError("its field late is neither true nor false")
    return record


def decode_hex(text: str, size: int = 32) -> bytes:
    if not re.fullmatch(r"(?:[0-9a-f]{2})*", text) or (size >= 0 and len(text) != 2 * size):
        raise ValueError("not lower-case hexadecimal of the right length")
    return bytes.fromhex(text)


def hash_parts(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def hash_node(left: bytes, right: bytes) -> bytes:
    return hash_parts(b"\x01", left, right)


def signed_text(kind: str, record: Record) -> bytes:
    names = SIGNED_FIELDS[kind] + (pruned_field(record) if kind == "manifest" else [])
    return canonical_json({name: record[name] for name in names}).encode("ascii")


class MerkleTree:
    """A tree that grows by one leaf at a time and keeps the hashes of its perfect subtrees, the largest first."""

    def __init__(self, size: int = 0, peaks: list[bytes] | None = None) -> None:
        self.size, self.peaks = size, list(peaks or [])
        if size < 0 or bin(size).count("1") != len(self.peaks):
            raise ValueError(f"a tree of {size} leaves has another number of perfect subtrees")

    def add_leaf(self, leaf: bytes) -> None:
        size = self.size
        while size & 1:
            leaf, size = hash_node(self.peaks.pop(), leaf), size >> 1
        self.peaks.append(leaf)
        self.size += 1

    def root_hash(self) -> bytes:
        if not self.peaks:
            return hash_parts()
        found = self.peaks[-1]
        for peak in self.peaks[-2::-1]:
            found = hash_node(peak, found)
        return found


def merkle_root(leaves: list[bytes]) -> bytes:
    tree = MerkleTree()
    for leaf in leaves:
        tree.add_leaf(leaf)
    return tree.root_hash()


def inclusion_root(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """Return the root to which an inclusion proof leads (RFC 9162, section 2.1.3.2)."""
    if not 0 <= index < size:
        raise ValueError(f"there is no leaf {index} in a tree of {size}")
    last = size - 1
    for sibling in path:
        if last == 0:
            raise ValueError("the proof is too long")
        if index & 1 or index == last:
            leaf = hash_node(sibling, leaf)
            while index and not index & 1:
                index, last = index >> 1, last >> 1
        else:
            leaf = hash_node(leaf, sibling)
        index, last = index >> 1, last >> 1
    if last:
        raise ValueError("the proof is too short")
    return leaf


def is_consistent(old: int, old_root: bytes, new: int, new_root: bytes, proof: list[bytes]) -> bool:
    """True if the proof shows that the new tree begins with the old one (RFC 9162, section 2.1.4.2)."""
    if not 0 < old <= new or (old == new) != (not proof):
        return False
    if old == new:
        return old_root == new_root
    steps = list(proof) if old & (old - 1) else [old_root, *proof]
    index, last = old - 1, new - 1
    while index & 1:
        index, last = index >> 1, last >> 1
    first = second = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if index & 1 or index == last:
            first, second = hash_node(step, first), hash_node(step, second)
            while index and not index & 1:
                index, last = index >> 1, last >> 1
        else:
            second = hash_node(second, step)
        index, last = index >> 1, last >> 1
    return last == 0 and (first, second) == (old_root, new_root)


def count_packed_ids(packed: bytes) -> int:
    """Count the ids in packed ids. ValueError if they are not in their one valid encoding."""
    count = value = shift = 0
    for byte in packed:
        value |= (byte & 127) << shift
        shift += 7
        if byte & 128:
            continue
        if value == 0 or (byte == 0 and shift > 7) or shift > 63:
            raise ValueError("the packed ids cannot be read")
        count, value, shift = count + 1, 0, 0
    if shift:
        raise ValueError("the packed ids are cut off")
    return count


# ---- The export


class StreamChains:
    """Checks that the entries of each stream follow each other, in whatever order they are added."""

    def __init__(self) -> None:
        # For each stream: its first place, the leaf that this one continues, its last place, and the leaf there.
        self.ends: dict[str, tuple[int, str, int, str]] = {}
        self.unattached: list[tuple[str, int, str, str]] = []

    def add_entry(self, stream: str, seq: int, prev: str, leaf: str) -> None:
        if not self.attach_entry(stream, seq, prev, leaf):
            self.unattached.append((stream, seq, prev, leaf))

    def attach_entry(self, stream: str, seq: int, prev: str, leaf: str) -> bool:
        first, continued, last, end = self.ends.setdefault(stream, (seq, prev, seq - 1, prev))
        if seq == last + 1 and prev == end:
            self.ends[stream] = (first, continued, seq, leaf)
        elif seq == first - 1 and leaf == continued:
            self.ends[stream] = (seq, prev, last, end)
        else:
            return False
        return True

    def find_faults(self, is_from_the_start: bool) -> Iterator[tuple[str, str, str]]:
        for direction in (1, -1):
            for entry in sorted(self.unattached, key=lambda row: row[1] * direction):
                if self.attach_entry(*entry):
                    self.unattached.remove(entry)
        for stream, seq, _, _ in self.unattached:
            yield "stream-chain", f"stream {stream} at {seq}", "does not continue the entry before it"
        for stream, (first, continued, _, _) in self.ends.items():
            if (is_from_the_start and first != 1) or (first == 1) != (continued == ZERO.hex()):
                yield "stream-start", f"stream {stream} at {first}", "is not the beginning of its stream"


class SpecialFile(ValueError):
    """A link, a pipe or another special file in an export."""

    code = "special-file"


class ExportCheck:
    """The check of an export in a folder. `run_checks` fills `faults`, each with its location."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.faults: list[str] = []
        # The code of each fault: docs/audit-format.md lists them.
        self.codes: list[str] = []
        # The line that was read last, as the location of a parse error.
        self.last_read = ""
        self.keys: dict[str, PublicKey] = {}
        self.manifest: Record = {}
        self.checkpoint: Record = {}
        # The outside checkpoint that was compared.
        self.compared: Record = {}
        # Entries of the segments up to this one were deleted, according to the manifest.
        self.pruned = 0
        # The highest such segment that an entry announces.
        self.announced_pruned = 0
        # Roots of the trees that were verified, by number of segments: an outside checkpoint is compared with one.
        self.roots: dict[int, bytes] = {}
        # The hash of each segment of the export, by its number: a checkpoint names that of its last segment.
        self.heads: dict[int, str] = {}
        # Count and root of each segment of a filtered export, by its number.
        self.segments: dict[int, tuple[int, bytes]] = {}

    def add_fault(self, code: str, place: str, problem: object) -> None:
        self.codes.append(code)
        self.faults.append(f"{place}: {problem}")

    def run_checks(self, outside: bytes | None = None) -> list[str]:
        """Run all checks and return the faults; an empty list means that the export is complete and unchanged."""
        steps = [
            ("the folder", self.check_folder),
            ("manifest.json", self.check_manifest),
            ("keys.json", self.check_keys),
            # Only now are the keys known. They are checked themselves before any signature is.
            ("manifest.json", self.check_manifest_signature),
            ("checkpoint.json", self.check_checkpoint),
        ]
        for place, step in steps:
            if not self.run_step(place, step):
                return self.faults
        if self.manifest["kind"] == "whole":
            self.run_step("segments.jsonl", self.check_all_segments)
        else:
            self.run_step("segments.jsonl", self.check_filtered_segments)
            self.run_step("entries.jsonl", self.check_streams)
        self.run_step("manifest.json", self.check_pruned)
        self.run_step("consistency.jsonl", self.check_consistency)
        self.run_step("checkpoint.json", lambda: self.check_head("checkpoint.json", self.checkpoint))
        self.run_step("SHA256SUMS", self.check_sums)
        if outside is not None:
            self.run_step("the outside checkpoint", lambda: self.compare_checkpoint(outside))
        return self.faults

    def run_step(self, place: str, step: Any) -> bool:
        try:
            step()
        except PARSE_ERRORS as error:
            self.add_fault(
                getattr(error, "code", "unreadable"),
                self.last_read or place,
                f"{type(error).__name__}: {error}",
            )
            return False
        finally:
            self.last_read = ""
        return True

    def read_file(self, name: str) -> bytes:
        with open(os.path.join(self.folder, name), "rb") as file:  # noqa: PTH118, PTH123
            return file.read()

    def read_lines(self, name: str) -> Iterator[tuple[str, bytes]]:
        """Yield location and bytes of each line."""
        with open(os.path.join(self.folder, name), "rb") as file:  # noqa: PTH118, PTH123
            for number, line in enumerate(file, start=1):
                self.last_read = f"{name} line {number}"
                if line[-1:] != b"\n":
                    raise ValueError("does not end with a line feed")
                yield f"{name} line {number}", line[:-1]

    def check_signature(self, kind: str, place: str, record: Record, at: str) -> None:
        key = self.keys.get(record["key"])
        if key is None:
            self.add_fault(
                "key-unknown", place, f"is signed by a key that is not in keys.json: {record['key']}"
            )
            return
        if not TIMESTAMP.fullmatch(at) or at < key.valid_from or (key.valid_until and at >= key.valid_until):
            self.add_fault("key-not-valid", place, f"its key was not valid at {at}")
        message = b"\x00".join((b"hub-signature-1", kind.encode(), signed_text(kind, record)))
        if not key.has_signed(decode_hex(record["signature"], 64), message):
            self.add_fault("signature-invalid", place, "its signature is invalid")

    def check_folder(self) -> None:
        """Refuse links and special files: they may lead out of the folder, or never end."""
        for folder, folders, names in os.walk(self.folder):
            for name in folders + names:
                path = os.path.join(folder, name)  # noqa: PTH118
                mode = os.lstat(path).st_mode
                if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                    raise SpecialFile(f"{os.path.relpath(path, self.folder)} is a link or a special file")

    def check_sums(self) -> None:
        """Check that SHA256SUMS, if there is one, has every file but the manifest and itself."""
        if "SHA256SUMS" not in self.manifest["files"]:
            return
        files = {
            name: recorded["sha256"]
            for name, recorded in self.manifest["files"].items()
            if name != "SHA256SUMS"
        }
        listed = {}
        for _, line in self.read_lines("SHA256SUMS"):
            digest, _, name = line.decode().partition("  ")
            listed[name] = digest
        if listed != files:
            wrong = sorted(name for name in {*listed, *files} if listed.get(name) != files.get(name))
            self.add_fault(
                "sums-differ",
                "SHA256SUMS",
                f"does not list the files of the manifest: {', '.join(wrong[:5])}",
            )

    def check_head(self, place: str, checkpoint: Record) -> None:
        """Check that a checkpoint names the hash of its last segment, if that segment is here."""
        if self.heads.get(checkpoint["count"], checkpoint["head"]) != checkpoint["head"]:
            self.add_fault(
                "checkpoint-head", place, f"its head is not the hash of segment {checkpoint['count']}"
            )

    def check_manifest(self) -> None:
        content = self.read_file("manifest.json")
        record = parse_canonical_json(content[:-1])
        require_fields(record, *SIGNED_FIELDS["manifest"], *pruned_field(record), "signature")
        self.pruned = record.get("pruned", 0)
        if pruned_field(record) and not self.pruned > 0:
            raise ValueError("has an invalid number of deleted segments")
        if content[-1:] != b"\n" or record["kind"] not in ("whole", "filtered") or record["v"] != 1:
            raise ValueError("is not a manifest of this version")
        self.manifest = record
        found = set()
        for folder, _, names in os.walk(self.folder):
            for name in names:
                path = os.path.relpath(os.path.join(folder, name), self.folder)  # noqa: PTH118
                found.add(path.replace(os.sep, "/"))
        for name in sorted(found - set(record["files"]) - {"manifest.json"}):
            self.add_fault("file-unlisted", name, "is not in the manifest")
        for name, recorded in sorted(record["files"].items()):
            if name not in found:
                self.add_fault("file-missing", name, "is missing")
            elif recorded != self.measure_file(name) or type(recorded["bytes"]) is not int:
                self.add_fault("file-differs", name, "differs from the manifest")

    def measure_file(self, name: str) -> Record:
        size, digest = 0, hashlib.sha256()
        with open(os.path.join(self.folder, name), "rb") as file:  # noqa: PTH118, PTH123
            while piece := file.read(1 << 20):
                size += len(piece)
                digest.update(piece)
        return {"bytes": size, "sha256": digest.hexdigest()}

    def check_keys(self) -> None:
        content = self.read_file("keys.json")
        document = require_fields(parse_canonical_json(content[:-1]), "keys", "v")
        if content[-1:] != b"\n" or document["v"] != 1:
            raise ValueError("is not a list of keys of this version")
        records = document["keys"]
        before, before_id = None, ""
        for number, record in enumerate(records, start=1):
            place = f"keys.json key {number}"
            require_fields(record, *SIGNED_FIELDS["key"], "signature")
            key = PublicKey(decode_hex(record["public"]), record["from"])
            message = b"\x00".join((b"hub-signature-1", b"key", signed_text("key", record)))
            claimed = (record["v"], record["number"], record["prev"])
            is_known = record["key"] in self.keys
            if claimed != (1, number, before_id) or is_known or not TIMESTAMP.fullmatch(key.valid_from):
                self.add_fault("key-order", place, "does not follow the key before it")
            if record["key"] != hash_parts(key.public).hex()[:32]:
                self.add_fault("key-id", place, "its id does not match its public key")
            if not (before or key).has_signed(decode_hex(record["signature"], 64), message):
                self.add_fault("key-signature", place, "is not signed by the key before it")
            if before is not None:
                before.valid_until = key.valid_from
                if key.valid_from <= before.valid_from:
                    self.add_fault("key-order", place, "does not start after the key before it")
            before, before_id = key, record["key"]
            self.keys[record["key"]] = key

    def check_manifest_signature(self) -> None:
        self.check_signature("manifest", "manifest.json", self.manifest, self.manifest["at"])

    def check_checkpoint(self) -> None:
        self.checkpoint = self.parse_checkpoint("checkpoint.json", self.read_file("checkpoint.json"))

    def parse_checkpoint(self, place: str, content: bytes) -> Record:
        record = require_fields(parse_canonical_json(content[:-1]), *SIGNED_FIELDS["checkpoint"], "signature")
        if content[-1:] != b"\n" or record["v"] != 1 or record["count"] < 1:
            raise ValueError("is not a checkpoint of this version")
        decode_hex(record["root"]), decode_hex(record["head"])
        self.check_signature("checkpoint", place, record, record["at"])
        return record

    def read_segments(self, *extra_fields: str) -> Iterator[tuple[str, Record, bytes]]:
        """Yield location, record and hash of each segment, after checking everything about it but its entries."""
        number, before, sealed_at, waits = 0, ZERO, "", ""
        lines = 0
        for _, line in self.read_lines("segments.jsonl"):
            record, lines = parse_canonical_json(line), lines + 1
            place = f"segment {record['number']}"
            path = record.get("path")
            names = [
                *SIGNED_FIELDS["segment"],
                "signature",
                *extra_fields,
                *([] if path is None else ["path"]),
            ]
            require_fields(record, *names)
            found = hash_parts(b"\x00hub-segment-1", signed_text("segment", record))
            self.heads[record["number"]] = found.hex()
            if record["number"] <= number or record["sealed_at"] < sealed_at or record["v"] != 1:
                self.add_fault("segment-order", place, f"does not come after segment {number}")
            if record["number"] == number + 1 and record["prev"] != before.hex():
                self.add_fault("segment-chain", place, "does not continue the segment before it")
            if waits and record["number"] != number + 1:
                self.add_fault("segment-unanchored", waits, "is not anchored in the checkpoint")
            self.check_signature("segment", place, record, record["sealed_at"])
            waits = place if path is None else ""
            if path is not None:
                self.check_anchor(place, record["number"], found, path)
            yield place, record, found
            number, before, sealed_at = record["number"], found, record["sealed_at"]
        if waits:
            self.add_fault("segment-unanchored", waits, "is not anchored in the checkpoint")
        if lines != self.manifest["segments"]:
            self.add_fault(
                "segment-count",
                "segments.jsonl",
                f"has {lines} segments, but the manifest says {self.manifest['segments']}",
            )

    def check_anchor(self, place: str, number: int, found: bytes, path: list[str]) -> None:
        hashes = [decode_hex(text) for text in path]
        try:
            root = inclusion_root(found, number - 1, self.checkpoint["count"], hashes)
        except ValueError as error:
            self.add_fault("segment-unanchored", place, f"is not anchored in the checkpoint: {error}")
            return
        if root.hex() != self.checkpoint["root"]:
            self.add_fault("segment-unanchored", place, "is not anchored in the checkpoint")

    def check_all_segments(self) -> None:
        manifest, count = self.manifest, 0
        first, last = manifest["first"], manifest["last"]
        tree = MerkleTree(max(first - 1, 0), [decode_hex(text) for text in manifest["frontier"]])
        self.roots[tree.size] = tree.root_hash()
        lines, streams, number = self.read_lines("entries.jsonl"), StreamChains(), max(first - 1, 0)
        for place, record, found in self.read_segments("packed"):
            if record["number"] != number + 1:
                self.add_fault("segment-order", place, f"comes after segment {number}")
            number = record["number"]
            tree.add_leaf(found)
            self.roots[tree.size] = tree.root_hash()
            packed = decode_hex(record["packed"], -1)
            if hash_parts(packed).hex() != record["ids"] or count_packed_ids(packed) != record["count"]:
                self.add_fault("segment-ids", place, "its ids differ from the signed ones")
            leaves: list[bytes] = []
            for _ in range(record["count"]):
                entry_place, body = next(lines, ("", b""))
                if not entry_place:
                    self.add_fault(
                        "entry-missing",
                        place,
                        f"has {record['count']} entries, but only {len(leaves)} are here",
                    )
                    break
                count += 1
                leaves.append(self.check_entry(f"{entry_place} in {place}", body, streams))
            if merkle_root(leaves).hex() != record["root"]:
                self.add_fault("segment-root", place, "its entries differ from the signed ones")
        if number != max(last, first - 1) or (manifest["segments"] == 0) != (first == 0):
            self.add_fault(
                "segment-range", "segments.jsonl", f"ends with segment {number}, but the manifest says {last}"
            )
        if count != manifest["entries"] or next(lines, None) is not None or manifest["streams"] != 0:
            self.add_fault(
                "entry-count",
                "entries.jsonl",
                f"does not have the {manifest['entries']} entries given in the manifest",
            )
        if self.checkpoint["count"] == last and tree.root_hash().hex() != self.checkpoint["root"]:
            self.add_fault(
                "checkpoint-root",
                "checkpoint.json",
                f"the first {last} segments differ from those that it covers",
            )
        for code, stream_place, what in streams.find_faults(first == 1):
            self.add_fault(code, stream_place, what)

    def check_pruned(self) -> None:
        """Check that entries were deleted if and only if an entry announces it."""
        if self.pruned and self.announced_pruned != self.pruned:
            self.add_fault(
                "pruning-unannounced",
                "manifest.json",
                f"no entry records the deletion of entries up to segment {self.pruned}",
            )
        if self.pruned and self.manifest["kind"] == "whole" and self.manifest["first"] != self.pruned + 1:
            self.add_fault("pruning-start", "manifest.json", f"does not start after segment {self.pruned}")

    def check_entry(self, place: str, body: bytes, streams: StreamChains | None) -> bytes:
        """Check an entry and return its leaf hash."""
        leaf = hash_parts(b"\x00hub-audit-1", body)
        try:
            entry = require_fields(parse_canonical_json(body), *ENTRY_FIELDS)
            if entry["v"] != 1 or not TIMESTAMP.fullmatch(entry["at"]) or entry["stream_seq"] < 1:
                raise ValueError("is not an entry of this version")
            if entry["action"] == "audit.pruned" and entry["stream"] == "retention:audit":
                self.announced_pruned = max(self.announced_pruned, entry["details"]["segment"])
            if streams is not None:
                streams.add_entry(entry["stream"], entry["stream_seq"], entry["prev_leaf"], leaf.hex())
        except PARSE_ERRORS as error:
            self.add_fault("unreadable", place, f"{type(error).__name__}: {error}")
        return leaf

    def check_filtered_segments(self) -> None:
        for _, record, _ in self.read_segments():
            self.segments[record["number"]] = (record["count"], decode_hex(record["root"]))
        bounds = (min(self.segments, default=0), max(self.segments, default=0))
        if bounds != (self.manifest["first"], self.manifest["last"]) or self.manifest["frontier"] != []:
            self.add_fault(
                "segment-range", "manifest.json", f"the segments here are {bounds[0]} to {bounds[1]}"
            )

    def check_streams(self) -> None:
        bodies, proofs = self.read_lines("entries.jsonl"), self.read_lines("proofs.jsonl")
        names: set[str] = set()
        used: set[int] = set()
        count = 0
        for place, line in self.read_lines("streams.jsonl"):
            record = parse_canonical_json(line)
            begins_later = ["before", "from"] if "from" in record else []
            require_fields(record, "leaf", "seq", "stream", *begins_later)
            begin, before = record.get("from", 1), ZERO.hex()
            if type(begin) is not int:
                raise ValueError("its field from is not a whole number")
            if record["stream"] in names or record["seq"] < begin or begin < (2 if begins_later else 1):
                self.add_fault("stream-line", place, "names no stream, or the same stream again")
            names.add(record["stream"])
            for seq in range(begin, record["seq"] + 1):
                entry_place, body = next(bodies, ("", b""))
                proof_place, proof = next(proofs, ("", b""))
                if not entry_place or not proof_place:
                    self.add_fault(
                        "entry-missing",
                        f"stream {record['stream']} at {seq}",
                        "is missing, or its proof is missing",
                    )
                    return
                count += 1
                entry_place = f"{entry_place} (stream {record['stream']} at {seq})"
                leaf = self.check_entry(entry_place, body, None)
                # The entry before it is pruned: its leaf comes from this entry, and a proof shows that its segment
                # contains it.
                if seq == begin and begins_later:
                    before = parse_canonical_json(body)["prev_leaf"]
                    used.add(self.check_stream_start(place, before, record["before"]))
                self.check_continuation(entry_place, body, (record["stream"], seq, before))
                used.add(self.check_proof(proof_place, leaf, proof))
                before = leaf.hex()
            if before != record["leaf"]:
                self.add_fault("stream-end", place, "the stream does not end with this entry")
        if next(bodies, None) is not None or next(proofs, None) is not None:
            self.add_fault(
                "entry-count", "entries.jsonl", "or proofs.jsonl has more entries than the streams"
            )
        if (count, len(names)) != (self.manifest["entries"], self.manifest["streams"]):
            self.add_fault(
                "entry-count", "manifest.json", f"there are {count} entries of {len(names)} streams"
            )
        for number in sorted(set(self.segments) - used):
            self.add_fault("segment-unused", f"segment {number}", "appears in no proof")

    def check_continuation(self, place: str, body: bytes, expected: tuple[str, int, str]) -> None:
        try:
            entry = parse_canonical_json(body)
            if (entry["stream"], entry["stream_seq"], entry["prev_leaf"]) != expected:
                self.add_fault("stream-chain", place, "does not continue the entry before it")
        except PARSE_ERRORS:
            # Reported by `check_entry` already.
            return

    def check_stream_start(self, place: str, leaf: str, proof: Record) -> int:
        """Check the deleted entry that a stream continues. Returns the number of its segment."""
        if not proof["segment"] <= self.pruned:
            self.add_fault("stream-start", place, "does not start with the first entry of its stream")
        return self.check_proof(place, decode_hex(leaf), canonical_json(proof).encode("ascii"))

    def check_proof(self, place: str, leaf: bytes, line: bytes) -> int:
        """Check an entry's inclusion proof. Returns the number of its segment, or 0 if the proof cannot be read."""
        try:
            proof = require_fields(parse_canonical_json(line), "index", "path", "segment")
            count, root = self.segments[proof["segment"]]
            if (
                inclusion_root(leaf, proof["index"], count, [decode_hex(text) for text in proof["path"]])
                != root
            ):
                self.add_fault(
                    "proof-wrong",
                    place,
                    f"the entry is not in segment {proof['segment']} at {proof['index']}",
                )
            return int(proof["segment"])
        except PARSE_ERRORS as error:
            self.add_fault("unreadable", place, f"{type(error).__name__}: {error}")
            return 0

    def check_consistency(self) -> None:
        if "consistency.jsonl" not in self.manifest["files"]:
            return
        for place, line in self.read_lines("consistency.jsonl"):
            record = require_fields(parse_canonical_json(line), "count", "proof", "root")
            root, proof = decode_hex(record["root"]), [decode_hex(text) for text in record["proof"]]
            end = (self.checkpoint["count"], decode_hex(self.checkpoint["root"]))
            if is_consistent(record["count"], root, *end, proof):
                self.roots.setdefault(record["count"], root)
            else:
                self.add_fault(
                    "consistency-wrong",
                    place,
                    f"does not lead from {record['count']} segments to the checkpoint",
                )

    def compare_checkpoint(self, content: bytes) -> None:
        """Check that a checkpoint that was stored elsewhere covers the same history."""
        place = "the outside checkpoint"
        record = self.parse_checkpoint(place, content)
        count = record["count"]
        known = self.roots.get(count)
        if count == self.checkpoint["count"]:
            known = decode_hex(self.checkpoint["root"])
            self.heads.setdefault(count, self.checkpoint["head"])
        if known is None and count > self.checkpoint["count"]:
            self.add_fault(
                "outside-newer",
                place,
                f"of {count} segments is newer than this export, whose own covers {self.checkpoint['count']}: "
                "use one that is no newer, or an export that was made later",
            )
        elif known is None:
            self.add_fault(
                "outside-incomparable",
                place,
                f"of {count} segments cannot be compared: use an export without a filter",
            )
        elif known.hex() != record["root"]:
            self.add_fault(
                "outside-differs", place, f"covers other segments than the first {count} of this log"
            )
        else:
            self.check_head(place, record)
        self.compared = record


def summarize_faults(codes: list[str]) -> str:
    """Return what the faults mean, in one sentence."""
    if set(codes) <= {"outside-newer", "outside-incomparable"}:
        return "The export itself has none, but it cannot be compared with this checkpoint."
    return "This export differs from what was sealed."


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Check an export of the audit log.")
    parser.add_argument(
        "folder", nargs="?", default=".", help="the folder that holds manifest.json: this one unless named"
    )
    parser.add_argument("--checkpoint", metavar="FILE", help="a checkpoint that you received yourself")
    asked = parser.parse_args(arguments)
    outside = None
    if asked.checkpoint:
        try:
            with open(asked.checkpoint, "rb") as file:  # noqa: PTH123
                outside = file.read()
        except OSError as error:
            parser.error(f"the checkpoint cannot be read: {error}")
    export = ExportCheck(asked.folder)
    export.run_checks(outside)
    for code, fault in zip(export.codes, export.faults):  # noqa: B905, since Python 3.10
        print(f"FAULT [{code}] {fault}")
    if export.faults:
        noun = "fault" if len(export.faults) == 1 else "faults"
        print(f"{len(export.faults)} {noun}. {summarize_faults(export.codes)}")
        return 1
    manifest, checkpoint = export.manifest, export.checkpoint
    print(
        f"Verified {manifest['entries']} entries ({manifest['kind']}, segments {manifest['first']} to "
        f"{manifest['last']}) against the "
        f"checkpoint of {checkpoint['count']} segments, made at {checkpoint['at']}."
    )
    if export.pruned:
        print(
            f"Entries of segments 1 to {export.pruned} were deleted, as recorded in the log; the hash "
            f"of segment {export.pruned} proves their content."
        )
    if outside is not None:
        print(
            f"The outside checkpoint of {export.compared['count']} segments, made at {export.compared['at']}, "
            f"agrees."
        )
    else:
        print(
            "No outside checkpoint was compared: someone with the database and the signing key could "
            "have rewritten everything."
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
