"""The published test vectors: their bytes can be made again, and verifiers find in each what its description says."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from audit.export import verify
from tests.support.audit.second_verifier import find_export_faults
from tests.support.audit.vectors.published import (
    ARCHIVE,
    BY_NAME,
    FILES,
    VECTORS,
    assemble,
    names_for,
    run_main,
    run_script,
    verifier_arguments,
)
from tests.support.audit.vectors.write import write_archive

pytestmark = pytest.mark.pure

NAMES = names_for("verify.py")
# Starting a process takes longer than the check itself, so a few vectors are enough.
OWN_PROCESS = [
    *("good/filtered-pruned", "good/whole-with-older-checkpoint"),
    *("bad/changed-body", "bad/missing-manifest", "bad/outside-unreadable", "bad/pipe"),
]


@pytest.mark.parametrize("name", NAMES)
def test_the_shipped_verifier_finds_what_a_vector_says(tmp_path: Path, name: str) -> None:
    vector = BY_NAME[name]
    result = run_main(verify.main, verifier_arguments(*assemble(vector, tmp_path)))
    assert result == (vector["exit"], vector["code"])


@pytest.mark.parametrize("name", OWN_PROCESS)
def test_the_shipped_verifier_alone_finds_what_a_vector_says(tmp_path: Path, name: str) -> None:
    vector = BY_NAME[name]
    result = run_script(Path(verify.__file__), verifier_arguments(*assemble(vector, tmp_path)))
    assert result == (vector["exit"], vector["code"])


@pytest.mark.parametrize("name", [name for name in NAMES if BY_NAME[name]["verdict"] != "error"])
def test_the_second_verifier_agrees_on_the_verdict(tmp_path: Path, name: str) -> None:
    vector = BY_NAME[name]
    folder, checkpoint = assemble(vector, tmp_path)
    faults = find_export_faults(folder, checkpoint.read_bytes() if checkpoint else None)
    assert bool(faults) == (vector["verdict"] == "faults"), faults


def test_generating_the_vectors_again_gives_the_same_bytes(tmp_path: Path) -> None:
    write_archive(tmp_path / "vectors.zip")
    assert (tmp_path / "vectors.zip").read_bytes() == ARCHIVE.read_bytes()


def test_each_folder_repeats_its_description() -> None:
    for vector in VECTORS:
        assert json.loads(FILES[f"{vector['name']}/expected.json"]) == vector
    folders = {"/".join(name.split("/")[:2]) for name in FILES if name.startswith(("good/", "bad/"))}
    assert folders == set(BY_NAME)
    assert len(folders) == len(VECTORS)


CODES = sorted(set(re.findall(r'add_fault\(\s*"([a-z-]+)"', Path(verify.__file__).read_text("utf-8"))))
CODES += ["special-file", "stream-start"]


def first_code(vector: dict[str, Any], scratch: Path, overlooked: str = "") -> str | None:
    """Return the code of the first fault that a verifier finds which overlooks one kind of fault."""

    class Careless(verify.ExportCheck):
        def add_fault(self, code: str, place: str, problem: object) -> None:
            if code != overlooked:
                super().add_fault(code, place, problem)

    folder, checkpoint = assemble(vector, scratch)
    check = Careless(str(folder))
    check.run_checks(checkpoint.read_bytes() if checkpoint else None)
    return check.codes[0] if check.codes else None


def test_every_code_of_the_verifier_has_a_vector() -> None:
    assert {BY_NAME[name]["code"] for name in NAMES} - {None} == set(CODES)


@pytest.mark.parametrize("code", sorted(set(CODES)))
def test_a_variant_that_overlooks_one_kind_of_fault_is_caught(tmp_path: Path, code: str) -> None:
    vectors = [BY_NAME[name] for name in NAMES if BY_NAME[name]["code"] == code]
    for number, vector in enumerate(vectors):
        (tmp_path / str(number)).mkdir()
        assert first_code(vector, tmp_path / str(number), overlooked=code) != code
    assert vectors


@pytest.mark.parametrize(
    ("check", "missed"),
    [
        (
            "check_signature",
            {"signature-of-manifest", "signature-of-checkpoint", "unknown-key", "key-of-another-time"},
        ),
        ("check_anchor", {"path-too-short", "path-too-long"}),
        ("check_sums", {"sums-without-a-file"}),
        ("check_head", {"checkpoint-head", "outside-head"}),
        ("check_folder", {"linked-folder"}),
        ("check_continuation", {"filtered-reordered"}),
        ("check_consistency", {"consistency"}),
        ("check_pruned", {"pruning-unannounced", "pruning-start", "pruning-too-much"}),
        (
            "compare_checkpoint",
            {"outside-newer", "outside-differs", "outside-incomparable", "outside-signature"},
        ),
    ],
)
def test_a_variant_without_one_check_accepts_bad_vectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: str, missed: set[str]
) -> None:
    monkeypatch.setattr(verify.ExportCheck, check, lambda *_: None)
    for name in missed:
        (tmp_path / name).mkdir()
        assert first_code(BY_NAME[f"bad/{name}"], tmp_path / name) != BY_NAME[f"bad/{name}"]["code"]


# For each rule: its source text, the text of a variant without it, and the vector in which only this rule finds a fault
# first.
RULES = [
    (" or (key.valid_until and at >= key.valid_until)", "", "key-of-an-earlier-time"),
    (" or scalar >= ORDER", "", "signature-with-high-scalar"),
    (" or is_known", "", "key-twice"),
    ("(1, number, before_id)", "(1, number, record['prev'])", "key-with-other-prev"),
    ("(1, number, before_id)", "(record['v'], number, before_id)", "key-of-other-version"),
    (" or (first == 1) != (continued == ZERO.hex())", "", "zero-hash-in-a-stream"),
    ('entry["v"] != 1 or ', "", "entry-of-other-version"),
    (' or manifest["streams"] != 0', "", "whole-with-streams"),
    (' or record["v"] != 1:', ":", "segment-of-other-version"),
    (" or (byte == 0 and shift > 7)", "", "ids-not-shortest"),
    ("value == 0 or ", "", "ids-not-ascending"),
    ('size < 0 or bin(size).count("1") != len(self.peaks)', "size < 0", "frontier-too-long"),
    (' or record["v"] != 1 or record["count"] < 1', "", "checkpoint-of-other-version"),
    ("            self.check_head(place, record)", "            pass", "outside-older-head"),
    (" or begin < (2 if begins_later else 1)", "", "stream-from-1"),
    (' or record["seq"] < begin', "", "stream-before-its-start"),
    ("self.check_proof(place, decode_hex(leaf)", "(lambda *_: 0)(place, decode_hex(leaf)", "before-wrong"),
    ("next(bodies, None) is not None or ", "", "filtered-entry-too-many"),
    (
        ', self.manifest["streams"])',
        ", len(names))",
        "filtered-stream-too-many",
    ),
    (' or self.manifest["frontier"] != []', "", "filtered-frontier"),
    ("(first, second) == (old_root, new_root)", "first == old_root", "consistency-old-root"),
    ("(first, second) == (old_root, new_root)", "second == new_root", "consistency-new-root"),
    ("listed[name] = digest", "listed.update({name: digest} if name else {})", "sums-with-another-line"),
    (
        "recorded != self.measure_file(name)",
        'recorded["sha256"] != self.measure_file(name)["sha256"]',
        "wrong-size",
    ),
]


@pytest.mark.parametrize(("rule", "without", "name"), RULES, ids=[name for *_, name in RULES])
def test_a_variant_without_one_rule_is_caught_by_one_vector(
    tmp_path: Path, rule: str, without: str, name: str
) -> None:
    source = Path(verify.__file__).read_text("utf-8")
    assert rule in source
    variant: dict[str, Any] = {"__name__": "variant"}
    exec(source.replace(rule, without), variant)
    vector = BY_NAME[f"bad/{name}"]
    assert run_main(variant["main"], verifier_arguments(*assemble(vector, tmp_path)))[1] != vector["code"]


def test_after_an_unknown_key_a_newer_checkpoint_is_found_to_be_newer(tmp_path: Path) -> None:
    folder, checkpoint = assemble(BY_NAME["bad/outside-newer-key"], tmp_path)
    check = verify.ExportCheck(str(folder))
    assert checkpoint
    check.run_checks(checkpoint.read_bytes())
    assert check.codes == ["key-unknown", "outside-newer"]


def test_the_paper_lists_every_code() -> None:
    text = (ARCHIVE.parents[1] / "audit-format.md").read_text("utf-8")
    assert [code for code in CODES if f"`{code}`" not in text] == []
