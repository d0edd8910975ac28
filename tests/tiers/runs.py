"""Run commands one after the other and keep their results, so that a run which was stopped can be resumed."""

import dataclasses
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence

from tests.mutants.changes import ROOT, run_git

# What pytest prints of a test that failed, the runner of mutants of one that nothing noticed, and the benchmark of an
# aim that was missed.
_RED = re.compile(r"^(?:(?:FAILED|ERROR) (\S+)|((?:survived|stale): .*|NOT KEPT .*))", re.MULTILINE)
LAST_LINES = 20


@dataclasses.dataclass(frozen=True)
class Part:
    """A command of a run with the environment that it needs in addition."""

    name: str
    command: Sequence[str]
    environment: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class PartResult:
    """How a part ended, how many seconds it took, and what failed or was missed."""

    name: str
    status: int
    seconds: float
    red: list[str]


class ResumableRun:
    """The results of a commit in a folder below var/. With uncommitted changes, nothing is resumed."""

    def __init__(self, name: str) -> None:
        described = run_git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
        self._folder = ROOT / "var" / name
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file = self._folder / f"{described}.jsonl"
        if described.endswith("-dirty"):
            self._file.unlink(missing_ok=True)
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        self.results = {row["name"]: PartResult(**row) for row in map(json.loads, lines)}

    def run(self, part: Part) -> PartResult:
        """Run a part, unless an earlier run of the same commit has its result. Its output goes to a log file."""
        if part.name in self.results:
            return self.results[part.name]
        print(f"{part.name} …", flush=True)
        log = self._folder / f"{part.name.replace(' ', '-')}.log"
        started = time.monotonic()
        with log.open("w") as output:
            status = subprocess.run(
                part.command,
                cwd=ROOT,
                env={**os.environ, **part.environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            ).returncode
        red = _what_is_red(log.read_text(), status)
        result = PartResult(part.name, status, round(time.monotonic() - started, 1), red)
        with self._file.open("a") as file:
            file.write(json.dumps(dataclasses.asdict(result)) + "\n")
        self.results[part.name] = result
        print(format_result(result), flush=True)
        return result


def _what_is_red(log: str, status: int) -> list[str]:
    """Return what a log names as failed, or the end of the log if the command failed and named nothing."""
    named = [first or second for first, second in _RED.findall(log)]
    return named or (log.splitlines()[-LAST_LINES:] if status else [])


def format_result(result: PartResult) -> str:
    """Return a line for a part, and a line for each test that failed and each aim that was missed."""
    ended = "green" if not result.status else f"RED (status {result.status})"
    return "\n    ".join([f"{result.name}: {ended}, {result.seconds:.0f} s", *result.red])


def pytest_part(name: str, marks: str, *options: str, **environment: str) -> Part:
    """Make a part that runs the tests with these marks."""
    return Part(name, [sys.executable, "-m", "pytest", "-rfE", "-m", marks, *options], environment)
