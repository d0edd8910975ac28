"""CPU and memory of a process include all of its descendants, even those that have ended."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.bench.machinery.processes import Family, parent_of

pytestmark = pytest.mark.pure

_BURN = "import time\nwhile time.process_time() < 0.3: pass"
_ENDED = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {_BURN!r}], check=True)"
_LIVING = (
    "import subprocess, sys;"
    f"child = subprocess.Popen([sys.executable, '-c', {_BURN + chr(10) + 'print(1, flush=True); time.sleep(60)'!r}],"
    "stdout=subprocess.PIPE); child.stdout.readline()"
)


@contextmanager
def _family(code: str) -> Iterator[Family]:
    """Run this code, then wait; the family of its process."""
    code += "\nprint('done', flush=True); sys.stdin.read(); 'child' in dir() and child.kill()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        assert process.stdout.readline() == b"done\n"
        yield Family(process.pid)
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


@pytest.mark.submission
@pytest.mark.parametrize("code", [_ENDED, _LIVING], ids=["ended", "living"])
def test_the_cpu_time_of_a_child_is_counted(code: str) -> None:
    with _family(code) as family:
        # The kernel counts in ticks of 10 ms, for each of the processes.
        assert 0.27 <= family.cpu() < 3.0


def test_a_parent_alone_has_used_almost_no_cpu_time() -> None:
    with _family("import sys") as family:
        assert family.cpu() < 0.25


def test_shared_pages_count_once_in_proportional_memory() -> None:
    with _family(_LIVING) as family:
        assert len(family.members()) == 2
        assert 0 < family.proportional_memory() < family.memory()


def test_the_parent_of_a_process_is_found_and_a_missing_process_is_an_error() -> None:
    with _family("import sys") as family:
        assert parent_of(family.process) == os.getpid()
    with pytest.raises(LookupError, match="no process"):
        parent_of(family.process)
