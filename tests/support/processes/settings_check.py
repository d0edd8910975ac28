"""Processes that start with chosen settings only."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
# A hub that runs from this checkout has a database in var/, perhaps of another schema, which would be refused.
_DATABASE_FOLDER = tempfile.TemporaryDirectory(prefix="hub-settings-")
VALID_SETTINGS = {
    "HUB_ENV_FILE": os.devnull,
    "SECRET_KEY": "only-for-tests-0123456789abcdefghijklmnopqrstuvwxyz",
    "SEALING_KEYS": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    "ALLOWED_HOSTS": "hub.example.com",
    "DATABASE_URL": f"sqlite:///{_DATABASE_FOLDER.name}/hub.sqlite3",
    "AUDIT_CHECKPOINT_EMAILS": "auditor@example.com",
    "EGRESS_ALLOW": "public,localhost",  # the mail server
}


def check(**variables: str | None) -> "subprocess.CompletedProcess[str]":
    return run("manage.py", "check", **variables)


def serve(**variables: str | None) -> "subprocess.CompletedProcess[str]":
    return run("-c", "import integration_hub.wsgi", PATH=os.environ["PATH"], **variables)


def run(*arguments: str, **variables: str | None) -> "subprocess.CompletedProcess[str]":
    """Run Python with valid settings and these variables only; None removes a variable."""
    chosen = {name: value for name, value in (VALID_SETTINGS | variables).items() if value is not None}
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=chosen, capture_output=True, text=True, timeout=120
    )
