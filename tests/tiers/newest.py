"""The newest Django on a newer Python: the hub starts, migrates and passes `make quick`.

The versions are those of requirements*.txt, except that Django and whatever is not named there are the newest. This
alone installs without hashes.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.tiers.parts import GATE
from tests.tiers.runs import ROOT

FOLDER = ROOT / "var" / "newest"
OLDEST, LATEST = 13, 30
_FILES = ("requirements-dev.txt", "requirements-celery.txt", "requirements-run.txt", "requirements.txt")
_STARTS = "tests/web_server/test_web_processes.py"
_SETTINGS = {
    "HUB_ENV_FILE": os.devnull,
    "SECRET_KEY": "only-for-checks-0123456789abcdefghijklmnopqrstuvwxyz-",
    "SEALING_KEYS": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    "ALLOWED_HOSTS": "localhost",
    "DATABASE_URL": f"sqlite:///{FOLDER / 'hub.sqlite3'}",
}


def run_newest() -> int:
    """Install and run everything. Returns 1 if a step is red; 0, with a sentence, without a Python for it."""
    python = find_python()
    if python is None:
        print(f"skipped: no Python for it (python3.{OLDEST} or newer, with venv)")
        return 0
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    for name in _FILES:
        (FOLDER / name).write_text(unpin_django((ROOT / name).read_text()))
    return int(not all(map(_succeeds, steps(python))))


def find_python() -> str | None:
    """Return the newest Python on the PATH that is new enough and can make virtual environments."""
    for minor in range(LATEST, OLDEST - 1, -1):
        found = shutil.which(f"python3.{minor}")
        if found and not subprocess.run([found, "-c", "import ensurepip, venv"], check=False).returncode:
            return found
    return None


def unpin_django(requirements: str) -> str:
    """Return the text of requirements with any version of Django from the pinned one on."""
    return re.sub(r"(?m)^(Django)==", r"\1>=", requirements)


def steps(python: str) -> list[Sequence[str]]:
    """Return the commands, each of which must succeed."""
    new = str(FOLDER / ".venv" / "bin" / "python")
    pip, pytest = [new, "-m", "pip", "--disable-pip-version-check"], [new, "-m", "pytest", "-n", "2"]
    return [
        [python, "-m", "venv", str(FOLDER / ".venv")],
        [*pip, "install", "--quiet", "-r", str(FOLDER / "requirements-dev.txt")],
        [new, "--version"],
        [*pip, "list"],
        [new, "manage.py", "migrate", "--verbosity", "0"],
        [new, "manage.py", "check"],
        [*pytest, "-m", "not peers", _STARTS],
        [
            *pytest,
            "-m",
            f"(pure or flow) and {GATE}",
            *("--ignore", "tests/project", "--ignore", "tests/sandbox"),
        ],
    ]


def _succeeds(command: Sequence[str]) -> bool:
    """Run a command with the programs of the new environment first."""
    print("+", *(Path(part).name if os.sep in part else part for part in command), flush=True)
    path = os.pathsep.join([str(FOLDER / ".venv" / "bin"), os.environ["PATH"]])
    environment = os.environ | _SETTINGS | {"PATH": path, "HUB_TEST_DATABASE": "sqlite"}
    return not subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
