"""A process loads what it needs: each further module costs memory for as long as the process lives."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
JOB = """
import sync.management.commands.run_job
from sync.jobs.kinds import job_kind
job_kind("export")
"""
CHECKS = """
from django.core.checks import run_checks
run_checks(tags=["admin"])
"""


def loaded_modules(program: str, database: str) -> set[str]:
    """Return the names of the modules that a process has loaded once it has run a program."""
    lines = ("import sys, django", "django.setup()", program, "print(*sys.modules)")
    result = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        cwd=ROOT,
        env=os.environ | {"DATABASE_URL": database},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return set(result.stdout.split())


def test_an_export_loads_no_page_no_other_job_and_no_other_database(tmp_path: Path) -> None:
    """Its process begins for each export, beside the worker: these modules would double its memory."""
    modules = loaded_modules(JOB, f"sqlite:///{tmp_path}/hub.sqlite3")
    assert "exports.jobs.lifecycle" in modules
    assert {name for name in modules if name.startswith("console.") and name.endswith(".admin")} == set()
    jobs = {
        "sync.comparisons.comparison_job",
        "sync.replays.replay_job",
        "sync.erasure.erase",
        "sync.catch_up.catch_up_job",
    }
    assert modules & {"console.admin", "integration_hub.urls", "psycopg", *jobs} == set()


def test_the_checks_of_the_console_load_its_pages(tmp_path: Path) -> None:
    """Otherwise `manage.py check` would find nothing wrong with them, because it would not see them."""
    assert "console.admin" in loaded_modules(CHECKS, f"sqlite:///{tmp_path}/hub.sqlite3")


def test_the_entry_point_of_the_web_server_loads_all_pages(tmp_path: Path) -> None:
    """By the checks of the settings, before its processes are forked: these share the memory, and none of them loads the
    pages at its first webhook.
    """
    # It refuses to start without a database, after that.
    program = "try:\n    import integration_hub.wsgi\nexcept SystemExit:\n    pass"
    modules = loaded_modules(program, f"sqlite:///{tmp_path}/hub.sqlite3")
    assert {"integration_hub.urls", "console.admin"} <= modules
