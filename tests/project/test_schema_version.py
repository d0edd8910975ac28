"""A database of another version is refused with one sentence, before it is read or changed."""

from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import CommandError
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from integration_hub import __version__, schema_version
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


def test_a_database_of_a_newer_release_is_refused_by_its_number(recorder: MigrationRecorder) -> None:
    recorder.migration_qs.filter(app=LABEL, name__startswith="release ").delete()
    for name in ("release 7.1.0", "sync.0009_added 0123456789abcdef0123456789abcdef"):
        recorder.record_applied(LABEL, name)
    recorder.record_applied("sync", "0009_added")
    with pytest.raises(CommandError) as refusal:
        check_schema(accepts_older=True)
    assert str(refusal.value) == (
        f"This database was upgraded by Integration Hub 7.1.0, and this is version {__version__}, which does not know "
        "sync.0009_added. Run version 7.1.0, or restore a backup from before that upgrade into a new database."
    )


def test_a_database_of_an_older_release_leads_to_migrate(
    recorder: MigrationRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema_version, "__version__", "7.1.0")
    added = schema_version.hash_migrations() | {"sync.0009_added": "sync.0009_added new"}
    monkeypatch.setattr(schema_version, "hash_migrations", lambda: added)
    check_schema(accepts_older=True)
    with pytest.raises(CommandError) as refusal:
        check_schema()
    assert str(refusal.value) == (
        f"This database was made by Integration Hub {__version__}, and this is version 7.1.0: 1 migration has not run "
        f"yet. Back it up with version {__version__}, then run manage.py upgrade_check and manage.py migrate."
    )


def test_a_released_migration_keeps_its_identity_whatever_its_file_says(
    recorder: MigrationRecorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An upgrade of Django may force an edit that changes no table."""
    released = tmp_path / "released.txt"
    released.write_text("0.1.0 sync.0001_initial identity-of-the-release\n")
    monkeypatch.setattr(schema_version, "RELEASED_MIGRATIONS", released)
    assert (
        schema_version.hash_migrations()["sync.0001_initial"] == "sync.0001_initial identity-of-the-release"
    )
    with pytest.raises(CommandError, match=SENTENCE):  # the database has the digest of the file
        check_schema()
    record_schema("default")
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
        check_schema(accepts_older=True)
        record_schema("default")
    recorder.record_applied("sync", "0009_added")
    check_schema()
    assert recorder.migration_qs.filter(app=LABEL).count() == len(known) + 2
