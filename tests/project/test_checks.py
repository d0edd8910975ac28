"""A process whose leases end before its requests do is refused at its start, with one sentence."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError

from integration_hub.checks import check_lease
from tests.support.builders.settings_rows import connection
from tests.support.database.template_database import migrated_database
from tests.support.processes.hub_processes import SANDBOX

pytestmark = pytest.mark.concurrent
ROOT = Path(__file__).resolve().parents[2]
PRODUCTION = {"DJANGO_SETTINGS_MODULE": "integration_hub.settings"}
SENTENCE = (
    r"LEASE_SECONDS is 12, but requests to “[^”]+” may take 10 seconds\. Set LEASE_SECONDS to at least 15, or shorten "
    r"the timeout of the connection\. \(hub\.E009\)"
)
WEB = ["-c", "import integration_hub.wsgi"]
STARTS = {
    "runserver": ["manage.py", "runserver", "127.0.0.1:0"],
    "worker": ["manage.py", "run_worker"],
    "web": WEB,
    "gunicorn": [
        "-m",
        "gunicorn",
        "integration_hub.wsgi",
        "--bind",
        "127.0.0.1:0",
        "--log-level",
        "critical",
    ],
    "celery": ["-m", "celery", "-A", "integration_hub", "worker", "--pool", "threads"],
}


@pytest.fixture
def short_lease(settings: Any) -> None:
    settings.LEASE_SECONDS = 12.0
    settings.SILENCED_SYSTEM_CHECKS = []


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with migrated_database(tmp_path, SANDBOX) as (_, url):
        yield url


@pytest.mark.django_db
def test_a_lease_as_long_as_a_request_and_five_seconds_is_enough(settings: Any) -> None:
    settings.SILENCED_SYSTEM_CHECKS = []
    longest = connection(deadline_seconds=settings.LEASE_SECONDS - 5)
    longest.full_clean()
    check_lease()


def start(arguments: list[str], url: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"DATABASE_URL": url, "AUDIT_CHECKPOINT_EMAILS": "auditor@example.com"}
    environment["PYTHONWARNINGS"] = "ignore"  # Celery warns if root starts it
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT, env=environment | variables, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.django_db
def test_a_lease_shorter_than_a_request_is_refused_with_the_longest_of_them(
    short_lease: None, django_assert_num_queries: Any
) -> None:
    connection(name="Quick", slug="quick", deadline_seconds=7.0)
    connection(name="Off", slug="off", deadline_seconds=30.0, is_enabled=False)
    with django_assert_num_queries(1):
        check_lease()
    connection(name="Slow", slug="slow", deadline_seconds=7.5)
    connection(name="Slowest", slug="slowest", deadline_seconds=30.0)
    with pytest.raises(
        CommandError, match=r"“Slowest” may take 30 seconds\. Set LEASE_SECONDS to at least 35,"
    ):
        check_lease()


@pytest.mark.nightly
@pytest.mark.one_database
@pytest.mark.parametrize("process", STARTS)
def test_no_process_starts_with_a_lease_shorter_than_a_request(url: str, process: str) -> None:
    broker = {"CELERY_BROKER_URL": "redis://127.0.0.1:1/0"} if process == "celery" else {}
    result = start(STARTS[process], url, LEASE_SECONDS="12", **PRODUCTION, **broker)
    assert result.returncode != 0
    assert re.fullmatch(rf"(CommandError: )?{SENTENCE}\n", result.stderr), result.stderr
