"""A migration that a release shipped is never edited: databases exist that it has made."""

import pytest

from integration_hub.schema_version import (
    APPS,
    RELEASED_MIGRATIONS,
    hash_migration,
    migration_files,
    read_released_migrations,
)
from tests.upgrade.releases import DATABASE_FILES, released_folders

pytestmark = pytest.mark.pure


def test_released_migrations_are_as_they_were_released() -> None:
    files = migration_files()
    lines = [line.split() for line in RELEASED_MIGRATIONS.read_text().splitlines()]
    edited = [
        name for _, name, *digests in lines if name not in files or hash_migration(files[name]) != digests[-1]
    ]
    assert not edited, "write a new migration instead"


def test_the_first_migrations_of_every_app_are_released() -> None:
    assert {(release, name) for release, name, _ in read_released_migrations()} >= {
        ("0.1.0", f"{app}.0001_initial") for app in APPS
    }


def test_every_release_left_its_databases() -> None:
    names = {folder.name for folder in released_folders()}
    assert {release for release, _, _ in read_released_migrations()} <= names
    for folder in released_folders():
        for kind, database in DATABASE_FILES.items():
            assert 0 < (folder / kind / database).stat().st_size <= 1_000_000
