"""Processes on a copy of a stored database."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.upgrade.releases import StoredHub

ROOT = Path(__file__).resolve().parents[2]


def examine(stored: StoredHub, folder: Path, url: str, **variables: str) -> dict[str, Any]:
    """Upgrade the copy and use it. Returns the outcomes: see `tests.upgrade.examine`."""
    command = ["-m", "tests.upgrade.examine", str(folder), str(stored.release), str(stored.folder)]
    ended = run_python(stored, folder, url, *command, **variables)
    assert ended.returncode == 0, ended.stderr[-4000:]
    outcomes: dict[str, Any] = json.loads(ended.stdout)
    return outcomes


def run_python(
    stored: StoredHub, folder: Path, url: str, *arguments: str, **variables: str
) -> "subprocess.CompletedProcess[str]":
    """Run Python with the variables of the hub on its copy."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=stored.environment(url, folder) | variables,
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
