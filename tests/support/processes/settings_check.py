"""Processes that start with nothing but chosen settings."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SOUND = {
    "HUB_ENV_FILE": os.devnull,
    "SECRET_KEY": "only-for-tests-0123456789abcdefghijklmnopqrstuvwxyz",
    "SEALING_KEYS": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    "ALLOWED_HOSTS": "hub.example.com",
    "AUDIT_CHECKPOINT_EMAILS": "auditor@example.com",
}


def check(**variables: str | None) -> "subprocess.CompletedProcess[str]":
    return run("manage.py", "check", **variables)


def serve(**variables: str | None) -> "subprocess.CompletedProcess[str]":
    return run("-c", "import integration_hub.wsgi", PATH=os.environ["PATH"], **variables)


def run(*arguments: str, **variables: str | None) -> "subprocess.CompletedProcess[str]":
    """Python with nothing of this process's environment but what is said; None takes a variable away."""
    chosen = {name: value for name, value in (SOUND | variables).items() if value is not None}
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=chosen, capture_output=True, text=True, timeout=120
    )
