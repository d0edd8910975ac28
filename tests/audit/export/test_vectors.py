"""The published test vectors: their bytes can be made again, and verifiers find in each what its description says."""

import json
import re
from pathlib import Path

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

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

NAMES = names_for("verify.py")
# Starting a process takes longer than the check itself, so a few vectors are enough.
OWN_PROCESS = ["good/whole-with-older-checkpoint", "bad/changed-body", "bad/pipe"]


def find_with_shipped_verifier(name: str, scratch: Path) -> tuple[int, str | None]:
    """Return the exit code of the shipped verifier and the code of the first fault that it finds in a vector."""
    return run_main(verify.main, verifier_arguments(*assemble(BY_NAME[name], scratch / name)))


@pytest.mark.promise("I5")
def test_the_shipped_verifier_finds_what_each_vector_says(tmp_path: Path) -> None:
    expected = {name: (BY_NAME[name]["exit"], BY_NAME[name]["code"]) for name in NAMES}
    assert {name: find_with_shipped_verifier(name, tmp_path) for name in NAMES} == expected


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize("name", OWN_PROCESS)
def test_the_shipped_verifier_alone_finds_what_a_vector_says(tmp_path: Path, name: str) -> None:
    vector = BY_NAME[name]
    result = run_script(Path(verify.__file__), verifier_arguments(*assemble(vector, tmp_path)))
    assert result == (vector["exit"], vector["code"])


@pytest.mark.submission
def test_the_second_verifier_agrees_on_each_verdict(tmp_path: Path) -> None:
    wrong = {}
    for name in NAMES:
        vector = BY_NAME[name]
        if vector["verdict"] == "error":
            continue
        folder, checkpoint = assemble(vector, tmp_path / name)
        faults = find_export_faults(folder, checkpoint.read_bytes() if checkpoint else None)
        if bool(faults) != (vector["verdict"] == "faults"):
            wrong[name] = faults
    assert wrong == {}


@pytest.mark.submission
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


def test_every_code_of_the_verifier_has_a_vector() -> None:
    assert {BY_NAME[name]["code"] for name in NAMES} - {None} == set(CODES)


def test_after_an_unknown_key_a_newer_checkpoint_is_found_to_be_newer(tmp_path: Path) -> None:
    folder, checkpoint = assemble(BY_NAME["bad/outside-newer-key"], tmp_path)
    check = verify.ExportCheck(str(folder))
    assert checkpoint
    check.run_checks(checkpoint.read_bytes())
    assert check.codes == ["key-unknown", "outside-newer"]
