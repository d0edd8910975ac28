"""Tampering before or after an export is found by both verifiers, with its place."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from audit.export.bundle import measure_file
from audit.export.verify import ExportCheck, summarize_faults
from audit.format.canonical_json import canonical_json
from audit.format.hashes import node_hash
from audit.sealing.checkpoints import checkpoint_bytes
from tests.support.audit.log_state import (
    LogState,
    build_log,
    manifest_facts,
    write_filtered_export,
    write_whole_export,
)
from tests.support.audit.log_tampering import (
    KINDS,
    Tamper,
    choose_entry,
    deleted,
    possible_places,
    rewritten,
    rewritten_with_the_newest_key,
)
from tests.support.audit.second_verifier import find_export_faults

pytestmark = pytest.mark.pure

SEED = 20261129
HONEST = build_log(Random(SEED))
OUTSIDE = checkpoint_bytes(HONEST.checkpoint)
WRITERS = {"whole": write_whole_export, "filtered": write_filtered_export}
PLACES = [1, pytest.param(20, marks=pytest.mark.nightly)]


def both(folder: Path, outside: bytes | None = OUTSIDE) -> tuple[list[str], list[str]]:
    return ExportCheck(str(folder)).run_checks(outside), find_export_faults(folder, outside)


@pytest.mark.parametrize("kind", WRITERS)
def test_an_unchanged_log_passes(tmp_path: Path, kind: str) -> None:
    WRITERS[kind](tmp_path / "export", HONEST)
    assert both(tmp_path / "export") == ([], [])


@pytest.mark.submission_rows(2)
@pytest.mark.promise("I5")
@pytest.mark.parametrize("places", PLACES)
@pytest.mark.parametrize("tamper", KINDS, ids=lambda tamper: tamper.__name__)
def test_tampering_with_the_log_is_found_in_its_exports(tmp_path: Path, tamper: Tamper, places: int) -> None:
    print("seed", SEED)
    for kind, write in WRITERS.items():
        generator = Random(f"{SEED} {tamper.__name__} {kind}")
        for number in range(places):
            state = HONEST.copy()
            words = tamper(state, generator)
            folder = tmp_path / f"{kind}{number}"
            write(folder, state)
            if tamper is deleted and kind == "filtered" and is_the_end(words):
                continue
            for faults in both(folder):
                assert any(word in fault for word in words for fault in faults), (kind, words, faults)


def is_the_end(words: set[str]) -> bool:
    """Return True if these words are about the last entry of a stream."""
    bodies = [HONEST.read_body(entry) for entry in HONEST.bodies]
    ends = {
        entry_body["stream"]: entry_body["stream_seq"]
        for entry_body in sorted(bodies, key=lambda entry_body: entry_body["stream_seq"])
    }
    return any(f"{stream} at {seq}" in words for stream, seq in ends.items())


def test_later_entries_of_a_stream_are_missed_by_a_filtered_export_and_not_by_a_whole_one(
    tmp_path: Path,
) -> None:
    """A documented limit (docs/audit.md): only the manifest names the end of a stream."""
    state = HONEST.copy()
    last = max(entry for entry in state.bodies if state.read_body(entry)["stream"] == "event:1")
    words = possible_places(state, last)
    del state.bodies[last], state.leaves[last]
    write_filtered_export(tmp_path / "filtered", state)
    write_whole_export(tmp_path / "whole", state)
    assert both(tmp_path / "filtered") == ([], [])
    for faults in both(tmp_path / "whole"):
        assert any(word in fault for word in words for fault in faults)


@pytest.mark.promise("I5")
@pytest.mark.parametrize("places", PLACES)
def test_an_export_with_one_entry_left_out_is_found(tmp_path: Path, places: int) -> None:
    """Kind 14 of tampering."""
    for kind, write in WRITERS.items():
        generator = Random(f"{SEED} {kind}")
        for number in range(places):
            entry = choose_entry(HONEST, generator)
            while is_the_end(possible_places(HONEST, entry)):
                entry = choose_entry(HONEST, generator)
            write(tmp_path / f"{kind}{number}", HONEST, left_out=entry)
            words = possible_places(HONEST, entry) | {"entries.jsonl"}
            for faults in both(tmp_path / f"{kind}{number}"):
                assert any(word in fault for word in words for fault in faults), faults


@pytest.mark.parametrize("kind", WRITERS)
def test_a_rewriting_with_the_right_keys_is_found_by_an_outside_checkpoint_alone(
    tmp_path: Path, kind: str
) -> None:
    state = HONEST.copy()
    rewritten(state, Random(SEED))
    WRITERS[kind](tmp_path / "export", state)
    assert both(tmp_path / "export", None) == ([], [])
    assert all(
        ["the outside checkpoint" in fault for fault in faults] == [True]
        for faults in both(tmp_path / "export")
    )


@pytest.mark.promise("T19")
@pytest.mark.parametrize("kind", WRITERS)
def test_a_stolen_key_cannot_rewrite_the_time_before_it_even_without_an_outside_checkpoint(
    tmp_path: Path, kind: str
) -> None:
    state = HONEST.copy()
    words = rewritten_with_the_newest_key(state, Random(SEED))
    WRITERS[kind](tmp_path / "export", state)
    for faults in both(tmp_path / "export", None):
        assert any(word in fault and "valid" in fault for word in words for fault in faults), faults


@pytest.mark.submission
def test_an_outside_checkpoint_that_is_no_checkpoint_is_a_fault(tmp_path: Path) -> None:
    write_whole_export(tmp_path / "export", HONEST)
    other = build_log(Random("another"))
    stripped = checkpoint_bytes({**HONEST.checkpoint, "signature": ""})
    renamed = checkpoint_bytes({**HONEST.checkpoint, "count": 3})
    for content in (
        b"",
        b"{}\n",
        OUTSIDE[:-1],
        OUTSIDE + b"\n",
        b" " + OUTSIDE,
        stripped,
        renamed,
        checkpoint_bytes(other.checkpoint),
    ):
        first, second = both(tmp_path / "export", content)
        assert first
        assert second


MUTATIONS = 500


@pytest.mark.nightly
@pytest.mark.promise("I5")
@pytest.mark.parametrize("kind", WRITERS)
def test_one_byte_that_is_changed_in_any_file_is_found(tmp_path: Path, kind: str) -> None:
    """A thousand changes, in both kinds of exports together."""
    print("seed", SEED)
    folder, generator = tmp_path / "export", Random(f"{SEED} {kind}")
    WRITERS[kind](folder, HONEST)
    files = sorted(folder.iterdir())
    for number in range(MUTATIONS):
        file = files[number % len(files)]
        content = file.read_bytes()
        place = generator.randrange(len(content))
        other = generator.choice([byte for byte in range(256) if byte != content[place]])
        file.write_bytes(content[:place] + bytes([other]) + content[place + 1 :])
        first, second = both(folder, None)
        assert any(file.name in fault for fault in first), (file.name, place, other, first)
        assert second, (file.name, place, other)
        file.write_bytes(content)
    assert both(folder) == ([], [])


def resigned(folder: Path, state: LogState) -> None:
    """Write and sign a manifest of the folder's current files, as the holder of the key could."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = {
        path.name: measure_file(path) for path in folder.iterdir() if path.name != "manifest.json"
    }
    signed = manifest_facts(state)[1](
        "manifest", {name: value for name, value in manifest.items() if name != "signature"}
    )
    (folder / "manifest.json").write_bytes(canonical_json(signed).encode() + b"\n")


def edit(folder: Path, name: str, change: Any) -> None:
    """Change one of the JSON lines of a file in place."""
    lines = [json.loads(line) for line in (folder / name).read_text().splitlines()]
    change(lines)
    (folder / name).write_text("".join(canonical_json(line) + "\n" for line in lines))


def longest(lines: list[dict[str, Any]]) -> dict[str, Any]:
    return max(lines, key=lambda line: len(line.get("path", [])))


PROOFS = {
    "empty": lambda line: line.update(path=[]),
    "too long": lambda line: line["path"].append("00" * 32),
    "another side": lambda line: line.update(index=line["index"] ^ 1),
    "beyond": lambda line: line.update(index=10**6),
    "before": lambda line: line.update(index=-1),
    "another segment": lambda line: line.update(segment=line["segment"] % 8 + 1),
    "no segment": lambda line: line.update(segment=99),
    "no hash": lambda line: line["path"].__setitem__(0, "00"),
    "upper case": lambda line: line["path"].__setitem__(0, line["path"][0].upper() + ""),
    "no text": lambda line: line["path"].__setitem__(0, 7),
    "no list": lambda line: line.update(path="00" * 32),
    "another member": lambda line: line.update(more=1),
}


@pytest.mark.submission
def test_an_invalid_proof_of_an_entry_is_found(tmp_path: Path) -> None:
    for name, change in PROOFS.items():
        folder = tmp_path / name
        write_filtered_export(folder, HONEST)
        edit(folder, "proofs.jsonl", lambda lines, change=change: change(longest(lines)))
        resigned(folder, HONEST)
        for faults in both(folder):
            assert any("proofs.jsonl line" in fault for fault in faults), (name, faults)


SEGMENTS = {
    "no signature": lambda line: line.pop("signature"),
    "an empty signature": lambda line: line.update(signature=""),
    "a null path": lambda line: line.update(path=None),
    "no time": lambda line: line.update(sealed_at="2026"),
}


@pytest.mark.submission
def test_a_segment_that_was_changed_is_found(tmp_path: Path) -> None:
    for name, change in SEGMENTS.items():
        folder = tmp_path / name
        write_whole_export(folder, HONEST)
        edit(folder, "segments.jsonl", lambda lines, change=change: change(lines[-1]))
        resigned(folder, HONEST)
        for faults in both(folder):
            assert any("segment 8" in fault or "segments.jsonl line 8" in fault for fault in faults), name


def test_a_node_does_not_pass_for_an_entry(tmp_path: Path) -> None:
    """The two hashes under a node, as a body, have the prefix of a leaf: another hash."""
    segment = next(segment for segment in HONEST.segments if len(segment.leaves) >= 4)
    left, right = segment.leaves[:2]
    text = (left + right).decode("latin-1")
    folder = tmp_path / "export"
    write_whole_export(folder, HONEST)
    lines = (folder / "entries.jsonl").read_bytes().split(b"\n")
    before = sum(len(earlier.ids) for earlier in HONEST.segments[: HONEST.segments.index(segment)])
    lines[before : before + 2] = [text.encode("latin-1").replace(b"\n", b"")]
    (folder / "entries.jsonl").write_bytes(b"\n".join(lines))
    resigned(folder, HONEST)
    for faults in both(folder):
        assert any("entries.jsonl" in fault for fault in faults), faults
    assert node_hash(left, right) not in segment.leaves


def test_entries_that_are_doubled_are_found(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    write_whole_export(folder, HONEST)
    lines = (folder / "entries.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "entries.jsonl").write_bytes(b"".join([*lines[:5], lines[4], *lines[6:]]))
    resigned(folder, HONEST)
    for faults in both(folder):
        assert any("segment 1" in fault for fault in faults), faults


@pytest.mark.parametrize(
    ("kind", "name", "field", "value"),
    [
        ("whole", "segments.jsonl", "path", ["AA" * 32]),
        ("filtered", "segments.jsonl", "path", ["aa" * 31]),
        ("filtered", "streams.jsonl", "from", True),
    ],
)
def test_values_of_another_form_are_unreadable(
    tmp_path: Path, kind: str, name: str, field: str, value: Any
) -> None:
    folder = tmp_path / "export"
    WRITERS[kind](folder, HONEST)
    *lines, last = (folder / name).read_text().splitlines()
    record = json.loads(last) | {field: value}
    if field == "from":
        record["before"] = {}
    (folder / name).write_text("".join(f"{line}\n" for line in [*lines, canonical_json(record)]))
    check = ExportCheck(str(folder))
    check.run_checks()
    place = f"{name} line {len(lines) + 1}: ValueError"
    assert [
        code for code, fault in zip(check.codes, check.faults, strict=True) if fault.startswith(place)
    ] == ["unreadable"]


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        (["outside-newer"], "cannot be compared"),
        (["outside-incomparable"], "cannot be compared"),
        (["outside-incomparable", "entry-missing"], "differs from what was sealed"),
        (["key-unknown"], "differs from what was sealed"),
    ],
)
def test_a_checkpoint_of_another_log_is_not_reported_as_a_changed_export(
    codes: list[str], words: str
) -> None:
    assert words in summarize_faults(codes)
