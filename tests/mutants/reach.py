"""Which tests reach a line of the product, by a run of the suite under coverage."""

import collections
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import coverage

from tests.mutants.draw import PACKAGES
from tests.mutants.mutation import ROOT

ARGUMENTS = (
    "-n",
    "3",
    "--dist",
    "worksteal",
    "-m",
    "not submission and not nightly and not faults and not peers",
)


def record(data: Path, arguments: Sequence[str] = ()) -> int:
    """Run tests, by default those of `make test`, and write which test reaches which line. Returns pytest's status."""
    data.parent.mkdir(parents=True, exist_ok=True)
    settings = data.with_name(
        "reach.ini"
    )  # coverage deletes each file whose name begins with that of its data
    present = [name for name in PACKAGES if (ROOT / name).is_dir()]
    settings.write_text(f"[run]\nsource = {','.join(present)}\ndata_file = {data}\n")
    options = ["--cov", f"--cov-config={settings}", "--cov-context=test", "--cov-report="]
    command = [sys.executable, "-m", "pytest", *options, *(arguments or ARGUMENTS)]
    return subprocess.run(command, cwd=ROOT, env=os.environ, check=False).returncode


class Reach:
    """The lines that each test of a recorded run reached."""

    def __init__(self, data: Path) -> None:
        self._data = coverage.CoverageData(str(data))
        self._data.read()
        # The checkout in which the run was recorded may have been another one.
        self._files = {
            name: path
            for path in self._data.measured_files()
            for name in [_relative(path)]
            if name is not None
        }
        self._breadth = self._modules_by_test()

    def tests_of(self, path: str, line: int) -> list[str]:
        """Return the test functions that reach a line, those that reach the fewest modules first.

        A line that runs as its module is imported has no test of its own: it counts as reached by each test that
        reaches a line of the module.
        """
        measured = self._files.get(path)
        if measured is None:
            return []
        by_line = self._data.contexts_by_lineno(measured)
        contexts = set(by_line.get(line, ())) - {""}
        if not contexts and line in by_line:
            contexts = {context for found in by_line.values() for context in found} - {""}
        functions = {_function(context) for context in contexts}
        return sorted(functions, key=lambda name: (self._breadth[name], name))

    def _modules_by_test(self) -> dict[str, int]:
        """Return the number of modules that each test function reaches."""
        breadth: dict[str, int] = collections.defaultdict(int)
        for path in self._files.values():
            reached = {context for found in self._data.contexts_by_lineno(path).values() for context in found}
            for name in {_function(context) for context in reached - {""}}:
                breadth[name] += 1
        return breadth


def _relative(path: str) -> str | None:
    parts = Path(path).parts
    starts = [number for number, part in enumerate(parts) if part in PACKAGES]
    return "/".join(parts[starts[0] :]) if starts else None


def _function(context: str) -> str:
    """Return the node id of a test function, without its phase and its row."""
    return context.rpartition("|")[0].partition("[")[0]
