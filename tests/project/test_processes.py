"""Processes of their own: Celery is loaded only if a broker is configured; a database or a lease that does not fit is refused."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration_hub.schema_version import LABEL
from tests.support.database.template_database import migrated_database
from tests.support.processes.hub_processes import SANDBOX
from tests.support.processes.settings_check import run

pytestmark = [pytest.mark.nightly, pytest.mark.one_database, pytest.mark.concurrent]

ROOT = Path(__file__).resolve().parents[2]
GUNICORN = ["-m", "gunicorn", "integration_hub.wsgi", "--bind", "127.0.0.1:0", "--log-level", "critical"]
STARTS = {
    "migrate": ["manage.py", "migrate"],
    "runserver": ["manage.py", "runserver", "127.0.0.1:0"],
    "worker": ["manage.py", "run_worker"],
    "web": ["-c", "import integration_hub.wsgi"],
    "gunicorn": GUNICORN,
    "celery": ["-m", "celery", "-A", "integration_hub", "worker", "--pool", "threads"],
}
OTHER_VERSION = (
    r"This database was created by another version of Integration Hub. Run that version, or [^.\n]+[^\n]*\."
)
SHORT_LEASE = r"LEASE_SECONDS is 12, but requests to “[^”]+” may take 10 seconds\. .+ \(hub\.E009\)"
_FORGET = (
    "import django; django.setup(); from django.db.migrations.recorder import MigrationRecorder as R; "
    f"R.Migration.objects.filter(app='{LABEL}').delete()"
)


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with migrated_database(tmp_path, SANDBOX) as (_, url):
        yield url


def start(arguments: list[str], url: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "integration_hub.settings"}
    environment |= {"AUDIT_CHECKPOINT_EMAILS": "auditor@example.com", "PYTHONWARNINGS": "ignore"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT, env=environment | variables, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def broker_of(process: str) -> dict[str, str]:
    return {"CELERY_BROKER_URL": "redis://127.0.0.1:1/0"} if process == "celery" else {}


@pytest.mark.parametrize("process", sorted(set(STARTS) - {"migrate"}))
def test_no_process_starts_with_a_lease_shorter_than_a_request(url: str, process: str) -> None:
    result = start(STARTS[process], url, LEASE_SECONDS="12", **broker_of(process))
    assert result.returncode != 0
    assert re.fullmatch(rf"(CommandError: )?{SHORT_LEASE}\n", result.stderr), result.stderr


@pytest.mark.parametrize("process", sorted(set(STARTS) - {"celery"}))
def test_no_process_starts_on_a_database_of_another_version(url: str, process: str) -> None:
    assert start(["-c", _FORGET], url).returncode == 0
    result = start(STARTS[process], url)
    assert result.returncode != 0
    assert re.fullmatch(rf"(CommandError: )?{OTHER_VERSION}\n", result.stderr), result.stderr
    assert result.stdout == ""


@pytest.mark.only_sqlite
def test_a_database_that_fits_is_empty_or_away_lets_a_web_process_start(url: str, tmp_path: Path) -> None:
    assert start(STARTS["migrate"], url).returncode == 0
    for other in (url, f"sqlite:///{tmp_path / 'new.sqlite3'}", "postgres://hub@127.0.0.1:1/hub"):
        result = start(STARTS["web"], other, LEASE_SECONDS="15", DATABASE_WAIT_SECONDS="0.2")
        assert result.returncode == 0, result.stderr


WEB_PROCESS = """
import sys
import integration_hub.wsgi
from sync.worker import worker
print(sorted(set(sys.modules) & {"celery", "kombu", "redis", "integration_hub.celery"}))
"""
SENDING = """
import django, time
django.setup()
from sync.execution.executor import defer_to_workers
began = time.perf_counter()
for number in range(200):
    defer_to_workers([number])
print(time.perf_counter() - began)
"""


def test_without_a_broker_nothing_of_celery_is_loaded() -> None:
    result = run("-c", WEB_PROCESS, PATH=os.environ["PATH"])
    assert (result.returncode, result.stdout) == (0, "[]\n"), result.stderr


def test_deferring_to_an_unavailable_broker_is_fast() -> None:
    variables = {
        "CELERY_BROKER_URL": "redis://:canary-secret@127.0.0.1:1/0",
        "DJANGO_SETTINGS_MODULE": "integration_hub.settings",
    }
    result = run("-c", SENDING, **variables)
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) < 3, "with the time that loading Celery takes"
    assert result.stderr.count("the broker is unavailable") <= 1
    assert "canary" not in result.stdout + result.stderr
