"""This checkout and a clone of another commit, each with its own benchmark, in turn (`--against COMMIT`)."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.machinery.processes import ROOT
from tests.bench.reports.table import table

SUBJECTS = ("plain", "result", "ack")
CLIENTS = 16
ROUNDS, SECONDS = 5, 10.0
HOURS = 3600.0

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Checkout:
    """A checkout with its own virtual environment. `name` is what the table calls it."""

    name: str
    folder: Path
    web_processes: int

    @property
    def python(self) -> Path:
        return self.folder / ".venv" / "bin" / "python"

    @property
    def can_choose_web_processes(self) -> bool:
        return "--web-processes" in (self.folder / "tests" / "bench" / "__main__.py").read_text()


def compare_with(
    commit: str, kinds: Sequence[str], rounds: int, seconds: float, web_processes: int
) -> list[Row]:
    """Measure both checkouts in turn, round after round. Returns the rows of both, with their `checkout`.

    Both start so many web processes; a commit whose benchmark cannot choose starts its own number, e265903 one. Two web
    processes share neither commits nor cached pages on SQLite, and one thread runs at a time in one: what a checkout
    costs can only be compared with the same number.
    """
    here, other = Checkout("this", ROOT, web_processes), clone_at(commit, web_processes)
    return [
        row | {"checkout": checkout.name, "round": number}
        for kind in kinds
        for number in range(1, rounds + 1)
        # Each goes first as often as the other: what the first leaves behind (caches, a warm disk) helps the second.
        for checkout in ((here, other) if number % 2 else (other, here))
        for row in _measure(checkout, kind, seconds, f"{number}/{rounds}")
    ]


def clone_at(commit: str, web_processes: int) -> Checkout:
    """Return a clone of a commit of this repository, installed below var/bench. Raises SystemExit if there is none."""
    digest = _resolve(commit)
    folder = ROOT / "var" / "bench" / digest[:12]
    checkout = Checkout(commit, folder, web_processes)
    if not (folder / ".git").exists():
        _git("clone", "--quiet", "--shared", "--no-checkout", str(ROOT), str(folder))
        subprocess.run(["git", "-C", str(folder), "checkout", "--quiet", digest], check=True)
    if not checkout.python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder / ".venv")], check=True)
    install = [str(checkout.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, *requirements_of(folder)], check=True)
    return checkout


def requirements_of(folder: Path) -> list[str]:
    """Return the options with which pip installs the packages of a checkout, of any commit: from the lock file, or from
    what there was before it.

    A lock is complete. Its dependencies are not resolved, since older locks do not name the extras of packages.
    """
    if (lock := folder / "requirements-dev.lock").exists():
        return ["--require-hashes", "--no-deps", "-r", str(lock)]
    files = [folder / name for name in ("requirements.txt", "requirements-dev.txt")]
    return [option for file in files if file.exists() for option in ("-r", str(file))]


def _resolve(commit: str) -> str:
    """Return the full hash of a commit; in a shallow clone, fetch it."""
    for attempt in range(2):
        found = _git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}", check=False)
        if found:
            return found
        if attempt == 0:
            _git("fetch", "--quiet", "--unshallow", check=False)
    raise SystemExit(f"This clone has no commit {commit}, and its origin gave none: name one of `git log`.")


def _git(*arguments: str, check: bool = True) -> str:
    return subprocess.run(
        ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=check
    ).stdout.strip()


def _measure(checkout: Checkout, kind: str, seconds: float, place: str) -> list[Row]:
    """Run one round of the benchmark of a checkout. Raises SystemExit, with its output, if it fails."""
    command = [
        *(str(checkout.python), "-m", "tests.bench", "--database", kind, "--only", ",".join(SUBJECTS)),
        *("--clients", str(CLIENTS), "--delays", "0", "--rounds", "1", "--seconds", str(seconds)),
    ]
    if checkout.can_choose_web_processes:
        command += ["--web-processes", str(checkout.web_processes)]
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    ended = subprocess.run(
        command,
        cwd=checkout.folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=HOURS,
        check=False,
    )
    kept = re.search(r"^Kept in (.*)$", ended.stdout, re.MULTILINE)
    if ended.returncode or not kept:
        raise SystemExit(f"The benchmark of {checkout.name} failed:\n{ended.stdout}{ended.stderr}")
    rows: list[Row] = json.loads(Path(kept[1]).read_text())["comparison"]
    for row in rows:
        if row["bad"]:
            raise SystemExit(f"{checkout.name} refused webhooks: {row['bad']} {row['first_bad']}")
        print(
            f"{place} {kind} {checkout.name} {row['subject']}: CPU {_cpu(row):.2f} ms",
            file=sys.stderr,
            flush=True,
        )
    return rows


def _cpu(row: Row) -> float:
    return float(row["web_cpu"] + row["worker_cpu"] + row["database_cpu"])


def show_against(commit: str, rows: Sequence[Row]) -> str:
    """Format medians of both checkouts, and the median and range of the ratios within each round.

    Leaves out a subject that the benchmark of one of them does not know.
    """
    measured = {(row["database"], row["subject"], row["checkout"]) for row in rows}
    lines = [
        _line(commit, rows, kind, subject)
        for kind in dict.fromkeys(row["database"] for row in rows)
        for subject in SUBJECTS
        if {(kind, subject, "this"), (kind, subject, commit)} <= measured
    ]
    heads = ["database", "subject", "CPU ms", commit, "ratio", "from", "to", "memory MB", commit]
    return table(heads, lines)


def _line(commit: str, rows: Sequence[Row], kind: str, subject: str) -> list[str]:
    mine, theirs = (
        {
            row["round"]: row
            for row in rows
            if (row["database"], row["subject"], row["checkout"]) == (kind, subject, name)
        }
        for name in ("this", commit)
    )
    ratios = [_cpu(mine[number]) / _cpu(theirs[number]) for number in mine]
    return [
        kind,
        subject,
        *(f"{median(map(_cpu, side.values())):.2f}" for side in (mine, theirs)),
        *(f"{value:.2f}" for value in (median(ratios), min(ratios), max(ratios))),
        *(f"{median(float(row.get('memory', 0)) for row in side.values()):.0f}" for side in (mine, theirs)),
    ]
