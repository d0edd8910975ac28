"""One fault of each kind that a verifier must find, made in a correct export of the test vectors.

Unless its text says otherwise, the attacker has the newest signing key and signs the manifest of what he changed.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from audit.export import verify
from audit.export.bundle import measure_file
from audit.format.canonical_json import canonical_json
from audit.format.hashes import ZERO_HASH, leaf_hash, sha256_digest
from audit.format.id_ranges import pack_ids
from audit.format.merkle_tree import merkle_root
from audit.format.signed_records import Record, load_signer, sign_record
from tests.support.audit.log_state import LogState, manifest_facts
from tests.support.audit.vectors.bundles import PRUNED, reseal_all, write_whole

Change = Callable[["Draft"], None]


@dataclass
class Draft:
    """An export that is being changed, and the log with the keys that it was made of."""

    folder: Path
    state: LogState
    # The changes of the manifest, made before it is signed.
    manifest: dict[str, Any] = field(default_factory=dict)
    is_signed: bool = True
    has_sums: bool = True
    more_sums: str = ""

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        (self.folder / name).write_bytes(content)

    def replace(self, name: str, old: bytes, new: bytes) -> None:
        content = self.read(name)
        assert old in content, (name, old)
        self.write(name, content.replace(old, new, 1))

    def lines(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.read(name).splitlines()]

    def write_lines(self, name: str, lines: list[dict[str, Any]]) -> None:
        self.write(name, b"".join(canonical_json(line).encode() + b"\n" for line in lines))

    def edit(self, name: str, place: int, **values: Any) -> None:
        """Change fields of one line."""
        lines = self.lines(name)
        lines[place].update(values)
        self.write_lines(name, lines)

    def move_lines(self, name: str, order: Callable[[list[bytes]], list[bytes]]) -> None:
        self.write(name, b"".join(order(self.read(name).splitlines(keepends=True))))

    def sign(self, kind: str, record: Record, key: int = -1) -> Record:
        """Sign a record by one of the log's keys."""
        unsigned = {name: value for name, value in record.items() if name != "signature"}
        return sign_record(
            kind, {**unsigned, "key": self.state.keys[key]["key"]}, load_signer(self.state.secrets[key])
        )

    def finish(self) -> None:
        """Write SHA256SUMS, if there is to be one, and the manifest of the files that are there, and sign it."""
        if not self.is_signed:
            return
        (self.folder / "SHA256SUMS").unlink(missing_ok=True)
        others = [path for path in self.folder.iterdir() if path.name != "manifest.json"]
        files = {path.name: measure_file(path) for path in others}
        sums = self.manifest.pop("sums", files)
        if self.has_sums:
            listed = [f"{files[name]['sha256']}  {name}\n" for name in sorted(sums)]
            self.write("SHA256SUMS", ("".join(listed) + self.more_sums).encode())
            files["SHA256SUMS"] = measure_file(self.folder / "SHA256SUMS")
        record = {**json.loads(self.read("manifest.json")), "files": files, **self.manifest}
        unsigned = {
            name: value for name, value in record.items() if name != "signature" and value is not None
        }
        self.write(
            "manifest.json",
            canonical_json(manifest_facts(self.state)[1]("manifest", unsigned)).encode() + b"\n",
        )


def change_body(draft: Draft) -> None:
    draft.replace("entries.jsonl", b'"actor":"system"', b'"actor":"nobody"')


def change_leaf(draft: Draft) -> None:
    """Change an entry and the root of its segment, which needs the key of its time for a signature."""
    change_body(draft)
    lines = draft.read("entries.jsonl").decode().splitlines()
    segment = draft.lines("segments.jsonl")[0]
    draft.edit(
        "segments.jsonl", 0, root=merkle_root([leaf_hash(line) for line in lines[: segment["count"]]]).hex()
    )


def resign_segment(key: int | None = None, **values: Any) -> Change:
    """Change fields of the second segment, and sign it by one of the keys (None: that of its time)."""

    def change(draft: Draft) -> None:
        lines = draft.lines("segments.jsonl")
        extra = {name: lines[1].pop(name) for name in ("packed", "path") if name in lines[1]}
        place = draft.state.key_at(lines[1]["sealed_at"]) if key is None else key
        lines[1] = {**draft.sign("segment", lines[1] | values, place), **extra}
        draft.write_lines("segments.jsonl", lines)

    return change


def sign_by_stranger(draft: Draft) -> None:
    lines = draft.lines("segments.jsonl")
    record = {name: value for name, value in lines[1].items() if name not in ("signature", "packed")}
    lines[1] = {**sign_record("segment", record, load_signer(b"\x07" * 32)), "packed": lines[1]["packed"]}
    draft.write_lines("segments.jsonl", lines)


def edit_checkpoint(*, signed: bool, **values: Any) -> Change:
    def change(draft: Draft) -> None:
        record = json.loads(draft.read("checkpoint.json")) | values
        draft.write_lines("checkpoint.json", [draft.sign("checkpoint", record) if signed else record])

    return change


def edit_keys(change_keys: Callable[[Draft, list[dict[str, Any]]], None]) -> Change:
    def change(draft: Draft) -> None:
        document = json.loads(draft.read("keys.json"))
        change_keys(draft, document["keys"])
        draft.write_lines("keys.json", [document])

    return change


def resign_third_key(**values: Any) -> Change:
    """Change fields of the third key, and sign it by the second one."""

    def change(draft: Draft, keys: list[dict[str, Any]]) -> None:
        record = {name: value for name, value in (keys[2] | values).items() if name != "signature"}
        keys[2] = sign_record("key", record, load_signer(draft.state.secrets[1]))

    return edit_keys(change)


@edit_keys
def sign_key_by_itself(draft: Draft, keys: list[dict[str, Any]]) -> None:
    record = {name: value for name, value in keys[1].items() if name != "signature"}
    keys[1] = sign_record("key", record, load_signer(draft.state.secrets[1]))


def repeat_first_key(draft: Draft) -> None:
    """Make the third key the first one again, signed by the second."""
    first = json.loads(draft.read("keys.json"))["keys"][0]
    resign_third_key(key=first["key"], public=first["public"])(draft)


@edit_keys
def drop_first_key(_: Draft, keys: list[dict[str, Any]]) -> None:
    del keys[0]


def set_manifest(**values: Any) -> Change:
    return lambda draft: draft.manifest.update(values)


hide_pruning = set_manifest(pruned=None)


def leave_out_of_sums(draft: Draft) -> None:
    draft.manifest["sums"] = ["checkpoint.json", "entries.jsonl", "segments.jsonl"]


def add_to_sums(draft: Draft) -> None:
    draft.more_sums = "no hash and no name\n"


def change_size(draft: Draft) -> None:
    files = json.loads(draft.read("manifest.json"))["files"]
    files["entries.jsonl"]["bytes"] += 1
    draft.manifest["files"] = files


def add_order_to_signature(draft: Draft) -> None:
    """Spell the signature of the last segment in the second way that RFC 8032 forbids."""
    signature = bytes.fromhex(draft.lines("segments.jsonl")[-1]["signature"])
    scalar = int.from_bytes(signature[32:], "little") + verify.ORDER
    draft.edit("segments.jsonl", -1, signature=(signature[:32] + scalar.to_bytes(32, "little")).hex())


def change_start(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Change:
    """Change the last stream whose first entries were deleted and whose `before` has a path with a hash."""

    def made(draft: Draft) -> None:
        lines = draft.lines("streams.jsonl")
        place = max(place for place, line in enumerate(lines) if line.get("before", {}).get("path"))
        lines[place] |= change(lines[place])
        draft.write_lines("streams.jsonl", lines)

    return made


begin_stream_at_1 = change_start(lambda line: {"from": 1})
end_stream_before_its_start = change_start(lambda line: {"seq": line["from"] - 1})
change_path_before = change_start(
    lambda line: {"before": line["before"] | {"path": ["00" * 32, *line["before"]["path"][1:]]}}
)


def rewrite_manifest(edit: Callable[[bytes], bytes]) -> Change:
    """Return a change of the bytes of the manifest, whose signature stays that of its fields."""

    def change(draft: Draft) -> None:
        draft.write("manifest.json", edit(draft.read("manifest.json")))
        draft.is_signed = False

    return change


def replace_in_manifest(old: str, new: str) -> Change:
    return rewrite_manifest(lambda text: text.replace(old.encode(), new.encode(), 1))


put_version_first = rewrite_manifest(lambda text: b'{"v":1,' + text[1:].replace(b',"v":1}', b"}"))
cut_line_feed = rewrite_manifest(lambda text: text[:-1])


def replace(name: str, old: str, new: str) -> Change:
    return lambda draft: draft.replace(name, old.encode(), new.encode())


def edit(name: str, place: int, **values: Any) -> Change:
    return lambda draft: draft.edit(name, place, **values)


def write_signature_in_upper_case(draft: Draft) -> None:
    draft.edit("segments.jsonl", 4, signature=draft.lines("segments.jsonl")[4]["signature"].upper())


def copy_signature(draft: Draft) -> None:
    """Give the second segment the signature of the first."""
    draft.edit("segments.jsonl", 1, signature=draft.lines("segments.jsonl")[0]["signature"])


def lengthen_last_stream(draft: Draft) -> None:
    draft.edit("streams.jsonl", -1, seq=draft.lines("streams.jsonl")[-1]["seq"] + 1)


def cut_consistency_proof(draft: Draft) -> None:
    draft.edit("consistency.jsonl", 0, proof=draft.lines("consistency.jsonl")[0]["proof"][:-1])


def change_consistency_proof(draft: Draft) -> None:
    proof = draft.lines("consistency.jsonl")[1]["proof"]
    draft.edit("consistency.jsonl", 1, proof=[*proof[:-1], "00" * 32])


def drop_line(name: str, place: int) -> Change:
    return lambda draft: draft.move_lines(name, lambda lines: [x for x in lines if x is not lines[place]])


def repeat_line(name: str, place: int) -> Change:
    """Write a line twice, one after the other."""
    return lambda draft: draft.move_lines(
        name, lambda lines: [copy for line in lines for copy in [line] * (1 + (line is lines[place]))]
    )


def swap_lines(name: str, first: int, second: int) -> Change:
    def order(lines: list[bytes]) -> list[bytes]:
        lines[first], lines[second] = lines[second], lines[first]
        return lines

    return lambda draft: draft.move_lines(name, order)


def swap_entries_with_proofs(draft: Draft) -> None:
    for name in ("entries.jsonl", "proofs.jsonl"):
        swap_lines(name, 0, 1)(draft)


def cut_bytes(name: str, count: int) -> Change:
    return lambda draft: draft.write(name, draft.read(name)[:-count])


def remove(name: str) -> Change:
    return lambda draft: (draft.folder / name).unlink()


def add_file(draft: Draft) -> None:
    draft.write("more.txt", b"more\n")


def change_path(name: str, change: Callable[[list[str]], object]) -> Change:
    """Change the path of the last line that has one with a hash."""

    def made(draft: Draft) -> None:
        lines = draft.lines(name)
        change([line for line in lines if line.get("path")][-1]["path"])
        draft.write_lines(name, lines)

    return made


def cut_path(name: str) -> Change:
    return change_path(name, lambda path: path.pop())


def extend_path(name: str) -> Change:
    return change_path(name, lambda path: path.append("00" * 32))


def move_index(draft: Draft) -> None:
    lines = draft.lines("proofs.jsonl")
    line = [line for line in lines if line["path"]][-1]
    line["index"] ^= 1
    draft.write_lines("proofs.jsonl", lines)


def add_unused_segment(draft: Draft) -> None:
    """Leave out the streams but the last, with the entries and proofs of theirs, but not the segments."""
    streams = draft.lines("streams.jsonl")
    keep = streams[-1]["seq"]
    draft.write_lines("streams.jsonl", streams[-1:])
    for name in ("entries.jsonl", "proofs.jsonl"):
        draft.move_lines(name, lambda lines: lines[-keep:])
    draft.manifest.update(entries=keep, streams=1)


def rewrite(change: Callable[[LogState], object], first: int = 1, pruned: int = 0) -> Change:
    """Change the log itself, sign all of it again with all keys, and export it."""

    def made(draft: Draft) -> None:
        change(draft.state)
        reseal_all(draft.state)
        shutil.rmtree(draft.folder)
        write_whole(draft.folder, draft.state, first, pruned=pruned)

    return made


def repack(change: Callable[[bytes], bytes]) -> Change:
    """Change the packed ids of the last segment, sign it again, and export the log."""

    def made(draft: Draft) -> None:
        state, segment = draft.state, draft.state.segments[-1]
        packed = change(pack_ids(segment.ids))
        secret = state.secrets[state.key_at(segment.record["sealed_at"])]
        record = segment.record | {"ids": sha256_digest(packed).hex()}
        segment.record = sign_record("segment", record, load_signer(secret))
        state.sign_checkpoint()
        shutil.rmtree(draft.folder)
        write_whole(draft.folder, state)
        draft.edit("segments.jsonl", -1, packed=packed.hex())

    return made


repack_with_a_byte_too_many = repack(lambda packed: packed[:-1] + bytes([packed[-1] | 128, 0]))
repack_with_a_zero = repack(lambda packed: packed[:-1] + b"\0")
begin_after_pruned_segments = rewrite(lambda _: None, first=PRUNED + 2, pruned=PRUNED)


def _forget_the_entry_before(state: LogState) -> None:
    """Give the first entry of a stream that is not in the first segment, but begins there, a zero hash."""
    begun = {state.read_body(entry)["stream"] for entry in state.segments[0].ids}
    rest = [entry for entry in sorted(state.bodies) if entry not in state.segments[0].ids]
    stream = next(name for entry in rest if (name := state.read_body(entry)["stream"]) in begun)
    before = ZERO_HASH
    for entry in rest:
        body = state.read_body(entry)
        if body["stream"] == stream:
            state.bodies[entry] = canonical_json(body | {"prev_leaf": before.hex()})
            before = leaf_hash(state.bodies[entry])


forget_the_entry_before = rewrite(_forget_the_entry_before, first=2)


def rewrite_last_entry(**values: Any) -> Change:
    return rewrite(lambda state: _change_last_entry(state, values))


def _change_last_entry(state: LogState, values: dict[str, Any]) -> None:
    entry = max(state.bodies)
    state.bodies[entry] = canonical_json(state.read_body(entry) | values)


@rewrite
def skip_a_sequence_number(state: LogState) -> None:
    _change_last_entry(state, {"stream_seq": state.read_body(max(state.bodies))["stream_seq"] + 1})


@rewrite
def lose_first_of_stream(state: LogState) -> None:
    """Delete the first entry of a stream that has a second one."""
    streams = [state.read_body(entry)["stream"] for entry in sorted(state.bodies)]
    stream = next(name for name in streams if name.startswith("event:") and streams.count(name) > 1)
    del state.bodies[min(entry for entry in state.bodies if state.read_body(entry)["stream"] == stream)]


@rewrite
def turn_time_back(state: LogState) -> None:
    state.segments[1].record["sealed_at"] = state.keys[0]["from"]
