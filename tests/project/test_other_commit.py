"""The packages of another commit, which `make bench ARGS="--against COMMIT"` installs for its clone."""

from pathlib import Path

import pytest

from tests.bench.subjects.other_commit import requirements_of

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("files", "installed"),
    [
        (["requirements.txt"], ["-r requirements.txt"]),
        (["requirements.txt", "requirements-dev.txt"], ["-r requirements.txt", "-r requirements-dev.txt"]),
        (
            ["requirements.txt", "requirements-dev.txt", "requirements-dev.lock"],
            ["--require-hashes --no-deps -r requirements-dev.lock"],
        ),
    ],
    ids=["one file", "before the locks", "locked"],
)
def test_a_commit_is_installed_from_the_files_that_it_has(
    tmp_path: Path, files: list[str], installed: list[str]
) -> None:
    for name in files:
        (tmp_path / name).touch()
    options = " ".join(requirements_of(tmp_path)).replace(f"{tmp_path}/", "")
    assert options == " ".join(installed)
