"""Copies of the checkout in which a mutation can be tried without touching the files that are worked on."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.mutants.mutation import ROOT, Mutation


class Copy:
    """A copy of the files that git tracks or does not ignore, for one pytest at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if folder.exists():
            shutil.rmtree(folder)
        for name in _own_files():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)

    @contextlib.contextmanager
    def mutated(self, mutation: Mutation) -> Iterator[None]:
        """Apply a mutation for the duration of the block. Raises StaleMutation."""
        path = self.folder / mutation.path
        path.write_text(mutation.apply((ROOT / mutation.path).read_text()))
        try:
            yield
        finally:
            shutil.copy2(ROOT / mutation.path, path)

    def run_tests(self, tests: list[str], database: str, seconds: float, *options: str) -> str:
        """Run tests by their node ids. Returns *passed*, *failed* or *timeout*; raises RuntimeError for neither."""
        listed = self.folder / "tests-to-run"
        listed.write_text("\n".join(tests))
        command = [sys.executable, "-m", "pytest", "-p", "no:randomly", *options, f"@{listed}"]
        environment = {**os.environ, "HUB_TEST_DATABASE": database, "HUB_TEST_ROWS": "all"}
        environment.pop("PYTEST_XDIST_WORKER", None)
        try:
            ended = subprocess.run(
                command,
                cwd=self.folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return "timeout"
        match ended.returncode:
            case 0:
                return "passed"
            # 2, 3, 4: a module that cannot be imported any more ends the collection or the run.
            case 1 | 2 | 3 | 4 if "no tests ran" not in ended.stdout or "rror" in ended.stdout:
                return "failed"
        raise RuntimeError(
            f"pytest ended with {ended.returncode}: {ended.stdout[-2000:]}{ended.stderr[-2000:]}"
        )


def _own_files() -> list[str]:
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return [name for name in listed if (ROOT / name).is_file()]
