"""`upgrade_check` says what an upgrade runs, for how long, what cannot be undone, and that a backup is missing or old.

No other test holds what a migration will do before it does it.
"""

from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from integration_hub import __version__
from integration_hub.backups.manifest import Manifest, write_manifest
from integration_hub.schema_version import load_recorded
from sync.models import Link
from tests.support.hub import EXAMPLE, Hub

pytestmark = pytest.mark.usefixtures("database")


def upgrade_check(**options: Any) -> str:
    printed = StringIO()
    call_command("upgrade_check", stdout=printed, **options)
    return printed.getvalue()


def a_backup(folder: Path, age: timedelta = timedelta(hours=1), **values: Any) -> Path:
    folder.mkdir()
    schema = sorted(load_recorded()[1])
    made_at = (datetime.now(UTC) - age).isoformat(timespec="seconds")
    facts = {"schema": schema, "audit_is_whole": True} | values
    write_manifest(folder, Manifest(1, made_at, "sqlite", database_file="x", sha256="", rows={}, **facts))
    return folder


@pytest.fixture
def expanding(settings: Any) -> None:
    settings.MIGRATION_MODULES = {"sync": "tests.upgrade.later.expand.migrations"}


@pytest.fixture
def contracting(settings: Any) -> None:
    settings.MIGRATION_MODULES = {"sync": "tests.upgrade.later.contract.migrations"}


def test_there_is_nothing_to_run_on_a_database_of_this_version() -> None:
    assert upgrade_check() == (
        f"This is Integration Hub {__version__}. The database was last migrated by {__version__}.\n"
        "There is nothing to run.\n"
    )


@pytest.mark.usefixtures("expanding")
def test_a_column_that_may_be_empty_costs_nothing_and_can_be_undone() -> None:
    text = upgrade_check(no_backup=True)
    assert "Migrations to run: 1.\n  sync.9000_later_note\n    Add field later_note to delivery" in text
    assert "All of it can be undone." in text
    assert "Rewrites" not in text
    assert "Reads sync_delivery: about 0 rows, about a second" in text


@pytest.mark.usefixtures("contracting")
def test_a_rewrite_is_estimated_by_rows_and_a_loss_is_named(hub: Hub) -> None:
    assert hub.post(EXAMPLE).status_code == 200
    Link.objects.create(
        **Link.objects.values("identity_id", "target_id", "entity_type", "applied_at").get(),
        entity_id="X",
        record_id="y",
        pk=2_000_000,
    )
    if connection.vendor == "postgresql":
        # It may have counted the rows in the middle of this test, or never.
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE sync_link, sync_delivery")
    text = upgrade_check(no_backup=True)
    # SQLite has no statistics, but ids: the estimate is never too low.
    rows, duration = ("2,000,000", "24 seconds") if connection.vendor == "sqlite" else ("2", "a second")
    assert f"Rewrites sync_link: about {rows} rows, about {duration}\n" in text
    assert "Reads sync_delivery: about 1 rows" in text
    assert f"Estimated time: about {duration}. This is an estimate" in text
    assert (
        "Not in the estimate, because it runs code of its own:\n  sync.9000_forget: Raw Python operation"
        in text
    )
    assert (
        "Cannot be undone, except by restoring a backup:\n"
        "  sync.9000_forget: Remove field deactivation from route: what is stored there is deleted\n"
        "  sync.9000_forget: Raw Python operation\n"
    ) in text


@pytest.mark.one_database
@pytest.mark.usefixtures("expanding")
def test_an_upgrade_needs_a_recent_backup_of_this_schema(tmp_path: Path) -> None:
    recent = a_backup(tmp_path / "recent")
    assert "is recent and has this schema." in upgrade_check(backup=recent)
    for refused, sentence in (
        (None, "Back up the database first"),
        (tmp_path, "is not a finished backup"),
        (a_backup(tmp_path / "old", timedelta(hours=25)), "not older than 24 hours"),
        (a_backup(tmp_path / "other", schema=["sync.0001_initial x"]), "with another schema"),
        (a_backup(tmp_path / "damaged", audit_is_whole=False), "has faults in its audit log"),
    ):
        with pytest.raises(CommandError, match=sentence) as refusal:
            upgrade_check(backup=refused)
        assert refusal.value.returncode == 1
