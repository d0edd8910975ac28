"""A database file with a counter, and processes that run a script on it with the hub's settings."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PREAMBLE = """
import os, sys, time
from django.conf import settings
settings.DATABASES["default"]["OPTIONS"]["timeout"] = float(os.environ["PATIENCE"])
from django.db import OperationalError, connection, transaction
def add_one():
    with transaction.atomic(), connection.cursor() as cursor:
        [number] = cursor.execute("SELECT number FROM counter").fetchone()
        cursor.execute("UPDATE counter SET number = %s", [number + 1])
"""


def make_counter(folder: Path) -> Path:
    """Create a database with a counter at 0. Returns its path."""
    path = folder / "counter.sqlite3"
    with sqlite3.connect(path) as link:
        link.execute("CREATE TABLE counter (number INTEGER NOT NULL)")
        link.execute("INSERT INTO counter VALUES (0)")
    link.close()
    return path


def start(file: Path, script: str, patience: float = 60.0) -> subprocess.Popen[str]:
    environment = os.environ | {
        "DATABASE_URL": f"sqlite:///{file}",
        "DJANGO_SETTINGS_MODULE": "integration_hub.settings",
        "PATIENCE": str(patience),
    }
    return subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + script],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> str:
    """Wait for a process and return what it printed. Fails unless it exits with 0."""
    printed, complaints = process.communicate(timeout=60)
    assert process.returncode == 0, complaints
    return printed


def count(file: Path) -> int:
    link = sqlite3.connect(file)
    try:
        return int(link.execute("SELECT number FROM counter").fetchone()[0])
    finally:
        link.close()
