"""A second verifier of exports, written from docs/audit-format.md alone: other code, other order, signatures by a library.

It reads everything into memory and reports every fault that it finds.
"""

import hashlib
import json
import re
from collections import defaultdict
from itertools import zip_longest
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

HEXADECIMAL = set("0123456789abcdef")
SIGNED = {
    "segment": "v number prev count ids root sealed_at key late",
    "key": "v number key public prev from",
    "checkpoint": "v count root head at key",
    "manifest": "v kind filter by at snapshot entries segments streams first last frontier files key",
}


class RuleViolation(Exception):
    """A rule of the export format that does not hold."""


def require(is_so: object, what: str) -> None:
    if not is_so:
        raise RuleViolation(what)


def is_one(value: Any) -> bool:
    """True for the number; `true` equals it in Python."""
    return type(value) is int and value == 1


def sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def canonical_text(value: Any) -> str:
    """Serialize a JSON value canonically as the specification says, without the hub's own code."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        require(abs(value) < 2**53, "a number is too large")
        return str(value)
    if isinstance(value, str):
        return '"' + "".join(map(escape_character, value)) + '"'
    if isinstance(value, list):
        return "[" + ",".join(map(canonical_text, value)) + "]"
    require(isinstance(value, dict), "a number is not whole")
    return "{" + ",".join(f"{canonical_text(k)}:{canonical_text(value[k])}" for k in sorted(value)) + "}"


def escape_character(sign: str) -> str:
    short = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    if sign in short:
        return short[sign]
    if " " <= sign <= "~":
        return sign
    units = sign.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def parse(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RuleViolation("not JSON") from error
    require(isinstance(value, dict), "not an object")
    require(canonical_text(value).encode() == content, "not canonical")
    return value


def unhex(text: Any, size: int | None = 32) -> bytes:
    require(isinstance(text, str) and set(text) <= HEXADECIMAL and len(text) % 2 == 0, "not hexadecimal")
    require(size is None or len(text) == 2 * size, "not of the right length")
    return bytes.fromhex(text)


def parse_number(value: Any, least: int = 0) -> int:
    require(isinstance(value, int) and not isinstance(value, bool) and value >= least, "not such a number")
    return int(value)


def parse_time(text: Any) -> str:
    require(
        isinstance(text, str)
        and len(text) == 27
        and re.sub(r"[0-9]", "0", text) == "0000-00-00T00:00:00.000000Z",
        "no time",
    )
    return str(text)


def merkle_tree_hash(leaves: list[bytes]) -> bytes:
    if not leaves:
        return sha256(b"")
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\x01" + merkle_tree_hash(leaves[:k]) + merkle_tree_hash(leaves[k:]))


def root_by_path(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """Compute the root that an inclusion path leads to, by recursion from the root downwards. Raises RuleViolation."""
    require(0 <= index < size, "no such leaf")
    if size == 1:
        require(not path, "a proof is too long")
        return leaf
    require(path, "a proof is too short")
    k = 1
    while k * 2 < size:
        k *= 2
    if index < k:
        return sha256(b"\x01" + root_by_path(leaf, index, k, path[:-1]) + path[-1])
    return sha256(b"\x01" + path[-1] + root_by_path(leaf, index - k, size - k, path[:-1]))


def roots_by_proof(
    m: int, n: int, proof: list[bytes], old_root: bytes, is_whole: bool = True
) -> tuple[bytes, bytes]:
    """Compute the old and new root that a consistency proof leads to, as SUBPROOF of RFC 9162, section 2.1.4.1."""
    require(0 < m <= n, "no such trees")
    if m == n:
        if is_whole:
            require(not proof, "a proof is too long")
            return old_root, old_root
        require(len(proof) == 1, "a proof is of the wrong length")
        return proof[0], proof[0]
    require(proof, "a proof is too short")
    k = 1
    while k * 2 < n:
        k *= 2
    if m <= k:
        old, new = roots_by_proof(m, k, proof[:-1], old_root, is_whole)
        return old, sha256(b"\x01" + new + proof[-1])
    old, new = roots_by_proof(m - k, n - k, proof[:-1], old_root, False)
    return sha256(b"\x01" + proof[-1] + old), sha256(b"\x01" + proof[-1] + new)


def read_ids(packed: bytes) -> list[int]:
    ids, at, total = [], 0, 0
    while at < len(packed):
        end = at
        while end < len(packed) and packed[end] >= 128:
            end += 1
        require(end < len(packed) and end - at < 9, "ids are cut off")
        difference = sum((byte & 127) << (7 * place) for place, byte in enumerate(packed[at : end + 1]))
        require(difference > 0 and (end == at or packed[end] != 0), "ids are not packed as they must be")
        total += difference
        ids.append(total)
        at = end + 1
    return ids


class SecondVerifier:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: list[str] = []
        self.keys: dict[str, tuple[bytes, str, str | None]] = {}
        self.roots: dict[int, bytes] = {}

    def apply_rule(self, place: str, check: Any, *arguments: Any) -> Any:
        """Return the result of a check; record a fault at this place and return None if it does not hold."""
        try:
            return check(*arguments)
        except RuleViolation as wrong:
            self.faults.append(f"{place}: {wrong}")
        except (
            KeyError,
            TypeError,
            AttributeError,
            UnicodeDecodeError,
            OSError,
            ValueError,
            IndexError,
        ) as error:
            self.faults.append(f"{place}: {error!r}")
        return None

    def run(self, outside: bytes | None) -> list[str]:
        self.apply_rule("the folder", self.check_kinds)
        self.manifest = None if self.faults else self.apply_rule("manifest.json", self.read_manifest)
        if self.manifest is None:
            return self.faults
        self.apply_rule("the folder", self.check_files)
        self.apply_rule("keys.json", self.read_keys)
        self.apply_rule(
            "manifest.json", self.check_signature, "manifest", self.manifest, self.manifest.get("at")
        )
        self.checkpoint = self.apply_rule(
            "checkpoint.json", self.read_checkpoint, self.file("checkpoint.json")
        )
        if self.checkpoint is None:
            return self.faults
        self.apply_rule("segments.jsonl", self.read_segments)
        if self.manifest["kind"] == "whole":
            self.apply_rule("entries.jsonl", self.check_whole)
        else:
            self.apply_rule("streams.jsonl", self.check_filtered)
        self.apply_rule("manifest.json", self.check_pruned)
        if (self.folder / "consistency.jsonl").exists():
            for place, line in self.lines("consistency.jsonl"):
                self.apply_rule(place, self.check_consistency, line)
        self.apply_rule("checkpoint.json", self.check_head, self.checkpoint)
        self.apply_rule("SHA256SUMS", self.check_sums)
        if outside is not None:
            self.apply_rule("the outside checkpoint", self.compare_checkpoints, outside)
        return self.faults

    def file(self, name: str) -> bytes:
        return (self.folder / name).read_bytes() if (self.folder / name).exists() else b""

    def lines(self, name: str) -> list[tuple[str, bytes]]:
        content = self.file(name)
        if content and not content.endswith(b"\n"):
            self.faults.append(f"{name}: does not end with a line feed")
        return [(f"{name} line {n}", line) for n, line in enumerate(content.split(b"\n")[:-1], start=1)]

    def one_object(self, content: bytes) -> dict[str, Any]:
        require(content.endswith(b"\n"), "does not end with a line feed")
        return parse(content[:-1])

    def read_manifest(self) -> dict[str, Any]:
        found = self.one_object(self.file("manifest.json"))
        require(set(found) - {"pruned"} == {*SIGNED["manifest"].split(), "signature"}, "has other members")
        require("pruned" not in found or parse_number(found["pruned"], 1), "nothing is kept no longer")
        require(is_one(found["v"]) and found["kind"] in ("whole", "filtered"), "is of another version")
        return found

    def check_kinds(self) -> None:
        for path in self.folder.rglob("*"):
            special = path.is_symlink() or not (path.is_file() or path.is_dir())
            require(not special, f"{path.name} is a link or a special file")

    def check_sums(self) -> None:
        """Compare the lines of SHA256SUMS with the files that the manifest lists."""
        files = dict(self.manifest["files"])
        if files.pop("SHA256SUMS", None) is None:
            return
        listed = {}
        for _, line in self.lines("SHA256SUMS"):
            digest, _, name = line.decode("ascii").partition("  ")
            listed[name] = digest
        require(listed == {name: recorded["sha256"] for name, recorded in files.items()}, "lists other files")

    def check_head(self, checkpoint: dict[str, Any]) -> None:
        """Compare the head of a checkpoint with the hash of that segment, if it is here."""
        hashes = {segment["number"]: segment["hash"].hex() for segment in self.segments if "hash" in segment}
        require(hashes.get(checkpoint["count"], checkpoint["head"]) == checkpoint["head"], "has another head")

    def check_files(self) -> None:
        here = {
            path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file()
        } - {"manifest.json"}
        for name in here ^ set(self.manifest["files"]):
            self.faults.append(f"{name}: stands in the folder or in the manifest, and not in both")
        for name in here & set(self.manifest["files"]):
            content = self.file(name)
            measured = {"bytes": len(content), "sha256": sha256(content).hex()}
            if measured != self.manifest["files"][name]:
                self.faults.append(f"{name}: its size or hash is not that of the manifest")

    def check_signature(self, kind: str, record: dict[str, Any], at: Any) -> None:
        require(record["key"] in self.keys, "its key is not there")
        public, begins, ends = self.keys[record["key"]]
        require(begins <= parse_time(at) and (ends is None or at < ends), "its key was not valid then")
        self.check_bytes(kind, record, public)

    def check_bytes(self, kind: str, record: dict[str, Any], public: bytes) -> None:
        signed = {name: record[name] for name in SIGNED[kind].split()}
        if kind == "manifest" and "pruned" in record:
            signed["pruned"] = record["pruned"]
        text = canonical_text(signed)
        message = b"hub-signature-1\0" + kind.encode() + b"\0" + text.encode()
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(unhex(record["signature"], 64), message)
        except InvalidSignature:
            raise RuleViolation("its signature is invalid") from None

    def read_keys(self) -> None:
        document = self.one_object(self.file("keys.json"))
        require(set(document) == {"keys", "v"} and is_one(document["v"]), "has other members")
        records = document["keys"]
        for place, record in enumerate(records):
            require(
                set(record) == {*SIGNED["key"].split(), "signature"}, f"key {place + 1} has other members"
            )
            public = unhex(record["public"])
            before = records[place - 1] if place else None
            require(parse_number(record["number"]) == place + 1, f"key {place + 1} has another number")
            require(is_one(record["v"]), f"key {place + 1} is of another version")
            require(record["key"] == sha256(public).hex()[:32], f"key {place + 1} has another id")
            require(record["key"] not in self.keys, f"key {place + 1} appears twice")
            require(record["prev"] == (before["key"] if before else ""), f"key {place + 1} follows another")
            require(
                not before or before["from"] < parse_time(record["from"]), f"key {place + 1} begins too early"
            )
            self.check_bytes("key", record, unhex(before["public"]) if before else public)
            ends = parse_time(records[place + 1]["from"]) if place + 1 < len(records) else None
            self.keys[record["key"]] = (public, parse_time(record["from"]), ends)

    def read_checkpoint(self, content: bytes) -> dict[str, Any]:
        record = self.one_object(content)
        require(set(record) == {*SIGNED["checkpoint"].split(), "signature"}, "has other members")
        require(is_one(record["v"]) and parse_number(record["count"], 1), "is of another version")
        unhex(record["root"]), unhex(record["head"])
        self.check_signature("checkpoint", record, record["at"])
        return record

    def read_segments(self) -> None:
        is_whole = self.manifest["kind"] == "whole"
        self.segments: list[dict[str, Any]] = []
        for place, line in self.lines("segments.jsonl"):
            segment = self.apply_rule(place, parse, line)
            if segment is not None:
                self.segments.append(segment)
                self.apply_rule(f"segment {segment.get('number')}", self.check_segment, segment, is_whole)
        for this, following in zip_longest(self.segments, self.segments[1:]):
            self.apply_rule(f"segment {this['number']}", self.check_neighbour, this, following)
        numbers = [segment["number"] for segment in self.segments]
        require(len(numbers) == self.manifest["segments"], "not as many as the manifest says")
        require(
            (min(numbers, default=0), max(numbers, default=0))
            == (self.manifest["first"], self.manifest["last"]),
            "not from the first to the last that the manifest says",
        )

    def check_segment(self, segment: dict[str, Any], is_whole: bool) -> None:
        allowed = {*SIGNED["segment"].split(), "signature", *(["packed"] if is_whole else [])}
        require(set(segment) - {"path"} == allowed, "has other members")
        require(is_one(segment["v"]) and parse_number(segment["number"], 1), "is of another version")
        segment["hash"] = sha256(
            b"\0hub-segment-1"
            + canonical_text({name: segment[name] for name in SIGNED["segment"].split()}).encode()
        )
        if segment["number"] == 1:
            require(segment["prev"] == "0" * 64, "the first continues nothing")
        if is_whole:
            packed = unhex(segment["packed"], None)
            require(sha256(packed).hex() == segment["ids"], "its ids are others")
            require(len(read_ids(packed)) == parse_number(segment["count"]), "has another number of ids")
        if "path" in segment:
            path = [unhex(hash_text) for hash_text in segment["path"]]
            root = root_by_path(segment["hash"], segment["number"] - 1, self.checkpoint["count"], path)
            require(root.hex() == self.checkpoint["root"], "is not in the checkpoint")
        self.check_signature("segment", segment, segment["sealed_at"])

    def check_neighbour(self, this: dict[str, Any], following: dict[str, Any] | None) -> None:
        is_next = following is not None and following["number"] == this["number"] + 1
        require("path" in this or is_next, "is not anchored")
        if following is not None:
            require(following["number"] > this["number"], "the next one has a lower number")
            require(following["sealed_at"] >= this["sealed_at"], "the next one is older")
            require(not is_next or following["prev"] == this["hash"].hex(), "the next one continues another")

    def parse_entry(self, body: bytes) -> dict[str, Any]:
        entry = parse(body)
        require(
            set(entry) == {"v", "stream", "stream_seq", "prev_leaf", "at", "action", "actor", "details"},
            "has other members",
        )
        require(
            is_one(entry["v"]) and parse_time(entry["at"]) and parse_number(entry["stream_seq"], 1),
            "is of another version",
        )
        return entry

    def check_whole(self) -> None:
        manifest, entries = self.manifest, self.lines("entries.jsonl")
        require(manifest["streams"] == 0, "a whole range has no streams")
        if not len(entries) == manifest["entries"] == sum(segment["count"] for segment in self.segments):
            self.faults.append(f"entries.jsonl: has {len(entries)} entries")
        numbers = [segment["number"] for segment in self.segments]
        require(
            numbers == list(range(manifest["first"], manifest["first"] + len(numbers))),
            "segments are missing",
        )
        streams: dict[str, dict[int, tuple[str, str]]] = defaultdict(dict)
        at = 0
        for segment in self.segments:
            leaves = []
            for place, body in entries[at : at + segment["count"]]:
                leaves.append(sha256(b"\0hub-audit-1" + body))
                entry = self.apply_rule(place, self.parse_entry, body)
                if entry is not None:
                    if entry["stream_seq"] in streams[entry["stream"]]:
                        self.faults.append(f"{place}: this place of its stream is taken")
                    streams[entry["stream"]][entry["stream_seq"]] = (entry["prev_leaf"], leaves[-1].hex())
            at += segment["count"]
            if merkle_tree_hash(leaves).hex() != segment["root"]:
                self.faults.append(f"segment {segment['number']}: its entries are others")
        for stream, places in streams.items():
            self.apply_rule(f"stream {stream}", self.check_places, places, manifest["first"] == 1)
        self.check_frontier()

    def check_places(self, places: dict[int, tuple[str, str]], is_from_the_start: bool) -> None:
        low, high = min(places), max(places)
        require(len(places) == high - low + 1, f"has a gap between {low} and {high}")
        require(low == 1 or not is_from_the_start, "does not begin with 1")
        require((places[low][0] == "0" * 64) == (low == 1), "does not begin as it must")
        for seq in range(low + 1, high + 1):
            require(places[seq][0] == places[seq - 1][1], f"{seq} does not continue {seq - 1}")

    def check_pruned(self) -> None:
        """Compare `pruned` of the manifest with the audit log entries about pruned segments."""
        if "pruned" not in self.manifest:
            return
        entries = [parse(body) for _, body in self.lines("entries.jsonl")]
        pruned_segments = {
            entry["details"]["segment"]
            for entry in entries
            if (entry["action"], entry["stream"]) == ("audit.pruned", "retention:audit")
        }
        require(
            max(pruned_segments, default=0) == self.manifest["pruned"],
            "the log says something else of what is kept",
        )
        require(
            self.manifest["kind"] == "filtered" or self.manifest["first"] == self.manifest["pruned"] + 1,
            "begins with another segment than the first that is kept",
        )

    def check_frontier(self) -> None:
        size = max(self.manifest["first"] - 1, 0)
        parts = [(bit, 1 << bit) for bit in reversed(range(size.bit_length())) if size >> bit & 1]
        peaks = [unhex(hash_text) for hash_text in self.manifest["frontier"]]
        require(len(parts) == len(peaks), "the frontier has another number of hashes")
        # Every perfect subtree as one opaque leaf of its own height: joined only with its like.
        stack = [(height, peak) for (height, _), peak in zip(parts, peaks, strict=True)]
        self.roots[size] = root_of_stack(stack)
        for segment in self.segments:
            stack.append((0, segment["hash"]))
            while len(stack) > 1 and stack[-1][0] == stack[-2][0]:
                (height, right), (_, left) = stack.pop(), stack.pop()
                stack.append((height + 1, sha256(b"\x01" + left + right)))
            self.roots[segment["number"]] = root_of_stack(stack)
        if self.manifest["last"] == self.checkpoint["count"]:
            require(
                self.roots[self.manifest["last"]].hex() == self.checkpoint["root"],
                "the checkpoint is of others",
            )

    def check_filtered(self) -> None:
        entries, proofs = self.lines("entries.jsonl"), self.lines("proofs.jsonl")
        streams = [(place, parse(line)) for place, line in self.lines("streams.jsonl")]
        wanted = [
            (place, head, seq)
            for place, head in streams
            for seq in range(
                self.first_sequence_number(head),
                min(parse_number(head["seq"], self.first_sequence_number(head)), 10**6) + 1,
            )
        ]
        require(self.manifest["frontier"] == [], "a filtered export has no frontier")
        require(
            len({head["stream"] for _, head in streams}) == len(streams) == self.manifest["streams"],
            "streams are missing or doubled",
        )
        require(
            len(entries) == len(proofs) == len(wanted) == self.manifest["entries"],
            f"{len(entries)} entries, {len(proofs)} proofs, {len(wanted)} wanted",
        )
        segments, used, before = {segment["number"]: segment for segment in self.segments}, set(), "0" * 64
        for (place, body), (proof_place, proof), (stream_place, head, seq) in zip(
            entries, proofs, wanted, strict=True
        ):
            is_cut, begin = "from" in head, self.first_sequence_number(head)
            extra = {"before", "from"} if is_cut else set()
            require(set(head) == {"leaf", "seq", "stream"} | extra, f"{stream_place} has other members")
            leaf = sha256(b"\0hub-audit-1" + body)
            where = f"stream {head['stream']} at {seq}"
            document = self.apply_rule(f"{place} ({where})", self.parse_entry, body) or {}
            if is_cut and seq == begin:
                require(
                    head["before"]["segment"] <= self.manifest.get("pruned", 0), f"{where} begins too late"
                )
                before = document.get("prev_leaf", "")
                kept = canonical_text(head["before"]).encode()
                used.add(
                    self.apply_rule(
                        f"{stream_place} ({where})", self.check_proof, kept, unhex(before), segments
                    )
                )
            expected = (head["stream"], seq, before if seq > 1 else "0" * 64)
            if (document.get("stream"), document.get("stream_seq"), document.get("prev_leaf")) != expected:
                self.faults.append(f"{place} ({where}): does not continue its stream")
            if seq == head["seq"] and leaf.hex() != head["leaf"]:
                self.faults.append(f"{stream_place} ({where}): ends with another entry")
            used.add(self.apply_rule(f"{proof_place} ({where})", self.check_proof, proof, leaf, segments))
            before = leaf.hex()
        require(used == set(segments), "segments are there that nothing names, or the other way round")

    def first_sequence_number(self, head: dict[str, Any]) -> int:
        """Return the sequence number with which a stream begins in this export."""
        return parse_number(head["from"], 2) if "from" in head else 1

    def check_proof(self, line: bytes, leaf: bytes, segments: dict[int, dict[str, Any]]) -> int:
        proof = parse(line)
        require(set(proof) == {"index", "path", "segment"}, "has other members")
        segment = segments[proof["segment"]]
        root = root_by_path(
            leaf,
            parse_number(proof["index"]),
            segment["count"],
            [unhex(hash_text) for hash_text in proof["path"]],
        )
        require(root.hex() == segment["root"], "the entry is not in its segment")
        return int(proof["segment"])

    def check_consistency(self, line: bytes) -> None:
        record = parse(line)
        require(set(record) == {"count", "proof", "root"}, "has other members")
        old_root, proof = unhex(record["root"]), [unhex(hash_text) for hash_text in record["proof"]]
        old, new = roots_by_proof(parse_number(record["count"]), self.checkpoint["count"], proof, old_root)
        require(old == old_root and new.hex() == self.checkpoint["root"], "does not lead to the checkpoint")
        self.roots.setdefault(record["count"], old_root)

    def compare_checkpoints(self, content: bytes) -> None:
        record = self.read_checkpoint(content)
        if record["count"] == self.checkpoint["count"]:
            require(record["root"] == self.checkpoint["root"], "is of other segments")
        else:
            require(record["count"] in self.roots, "cannot be compared")
            require(self.roots[record["count"]].hex() == record["root"], "is of other segments")
        self.check_head(record)
        if record["count"] == self.checkpoint["count"]:
            require(record["head"] == self.checkpoint["head"], "has another head than the export's own")


def root_of_stack(stack: list[tuple[int, bytes]]) -> bytes:
    if not stack:
        return sha256(b"")
    found = stack[-1][1]
    for _, left in reversed(stack[:-1]):
        found = sha256(b"\x01" + left + found)
    return found


def find_export_faults(folder: Path, outside: bytes | None = None) -> list[str]:
    """Return every fault of an export; an empty list if it is complete and unchanged."""
    return SecondVerifier(folder).run(outside)
