"""A database of another version is refused with one sentence, before it is read or changed."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import CommandError
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from integration_hub import schema_version
from integration_hub.schema_version import APPS, LABEL, check_schema, record_schema
from tests.support.database.template_database import migrated_database

pytestmark = pytest.mark.concurrent
ROOT = Path(__file__).resolve().parents[2]
SENTENCE = (
    r"This database was created by another version of Integration Hub. Run that version, or [^.\n]+[^\n]*\."
)
STARTS = {
    "migrate": ["manage.py", "migrate"],
    "runserver": ["manage.py", "runserver", "127.0.0.1:0"],
    "worker": ["manage.py", "run_worker"],
    "web": ["-c", "import integration_hub.wsgi"],
    "gunicorn": [
        "-m",
        "gunicorn",
        "integration_hub.wsgi",
        "--bind",
        "127.0.0.1:0",
        "--log-level",
        "critical",
    ],
}


def run(arguments: list[str], url: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "integration_hub.settings"}
    environment["AUDIT_CHECKPOINT_EMAILS"] = "auditor@example.com"  # or `check` warns
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT, env=environment | variables, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.fixture
def recorder(db: None) -> MigrationRecorder:
    return MigrationRecorder(connection)


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with migrated_database(tmp_path) as (_, url):
        yield url


def test_a_migrated_database_passes_with_one_query(
    recorder: MigrationRecorder, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(1):
        check_schema()


def test_every_app_with_migrations_is_checked() -> None:
    ours = [
        config
        for config in apps.get_app_configs()
        if Path(config.path).is_relative_to(settings.BASE_DIR) and "site-packages" not in config.path
    ]
    assert set(APPS) == {config.label for config in ours if Path(config.path, "migrations").exists()}
    assert {name.partition(".")[0] for name in schema_version.hash_migrations()} == set(APPS)


def test_a_database_from_before_the_record_is_refused(recorder: MigrationRecorder) -> None:
    recorder.migration_qs.filter(app=LABEL).delete()
    with pytest.raises(CommandError, match=SENTENCE):
        check_schema()


def test_a_migration_that_this_version_does_not_have_is_refused(recorder: MigrationRecorder) -> None:
    recorder.record_applied("audit", "0001_entry")
    recorder.record_applied(LABEL, "audit.0001_entry 0123456789abcdef0123456789abcdef")
    with pytest.raises(CommandError):
        check_schema()


def test_a_migration_that_was_changed_after_it_was_applied_is_refused(
    recorder: MigrationRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = schema_version.hash_migrations()
    changed = digests | {"sync.0001_initial": "sync.0001_initial of-other-content"}
    monkeypatch.setattr(schema_version, "hash_migrations", lambda: changed)
    with pytest.raises(CommandError):
        check_schema()


def test_a_migration_may_change_until_it_is_applied(
    recorder: MigrationRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = schema_version.hash_migrations()
    for digest in ("first", "second"):
        added = known | {"sync.0009_added": f"sync.0009_added {digest}"}
        monkeypatch.setattr(schema_version, "hash_migrations", lambda added=added: added)
        check_schema()
        record_schema("default")
    recorder.record_applied("sync", "0009_added")
    check_schema()
    assert recorder.migration_qs.filter(app=LABEL).count() == len(known) + 1


@pytest.mark.nightly
@pytest.mark.one_database
@pytest.mark.parametrize("start", STARTS)
def test_no_process_starts_on_a_database_of_another_version(url: str, start: str) -> None:
    forget = "from django.db.migrations.recorder import MigrationRecorder as R; R.Migration.objects"
    delete = f"import django; django.setup(); {forget}.filter(app='{LABEL}').delete()"
    assert run(["-c", delete], url).returncode == 0
    result = run(STARTS[start], url)
    assert result.returncode != 0
    assert re.fullmatch(rf"(CommandError: )?{SENTENCE}\n", result.stderr), result.stderr
    assert result.stdout == ""


@pytest.mark.nightly
@pytest.mark.only_sqlite
def test_a_database_that_is_migrated_empty_or_away_lets_a_web_process_start(url: str, tmp_path: Path) -> None:
    assert run(STARTS["migrate"], url).returncode == 0
    for other in (url, f"sqlite:///{tmp_path / 'new.sqlite3'}", "postgres://hub@127.0.0.1:1/hub"):
        result = run(STARTS["web"], other, DATABASE_WAIT_SECONDS="0.2")
        assert result.returncode == 0, result.stderr
