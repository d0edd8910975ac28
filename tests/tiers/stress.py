"""Repeat the tests of the gate that start threads, processes, servers or sockets, beside busy loops."""

import ast
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.tiers.parts import GATE
from tests.tiers.runs import ROOT, ResumableRun, format_result, pytest_part

ROUNDS = 20
BUSY_LOOPS = 2
# It ends with the process that started it.
_BUSY_LOOP = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"


def run_stress() -> int:
    """Run 20 rounds, resuming those of an earlier run of this commit. Returns 1 if a test failed."""
    files = concurrent_files()
    print(f"{len(files)} files start a thread, process, server or socket:", *files, sep="\n    ", flush=True)
    run = ResumableRun("gate-stress")
    with busy_loops(BUSY_LOOPS):
        results = [
            run.run(
                pytest_part(
                    f"round {number}", f"concurrent and {GATE}", "-n", "3", *files, HUB_TEST_DATABASE="sqlite"
                )
            )
            for number in range(1, ROUNDS + 1)
        ]
    red = [result for result in results if result.status]
    print(*map(format_result, red), f"{len(results) - len(red)} of {len(results)} rounds green", sep="\n")
    return int(bool(red))


def concurrent_files() -> list[str]:
    """Return the test files with a module mark `concurrent`."""
    return [
        path.relative_to(ROOT).as_posix()
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        if "mark.concurrent" in path.read_text() and _has_module_mark(path)
    ]


def _has_module_mark(path: Path) -> bool:
    return any(
        "pytest.mark.concurrent" in ast.unparse(node)
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign)
    )


@contextlib.contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """Keep cores busy for the duration of the block."""
    loops = [subprocess.Popen([sys.executable, "-c", _BUSY_LOOP]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
