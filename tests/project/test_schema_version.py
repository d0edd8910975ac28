"""A database of another version is refused with one sentence, before it is read or changed."""

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

SENTENCE = (
    r"This database was created by another version of Integration Hub. Run that version, or [^.\n]+[^\n]*\."
)


@pytest.fixture
def recorder(db: None) -> MigrationRecorder:
    return MigrationRecorder(connection)


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


@pytest.mark.promise("I22")
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
