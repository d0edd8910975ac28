"""`manage.py upgrade_check`: what `migrate` would run, how long it takes, and whether a backup is recent."""

from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from integration_hub import __version__
from integration_hub.backups.manifest import read_manifest
from integration_hub.schema_version import check_schema, load_recorded
from integration_hub.upgrades.pending_migrations import PendingMigration, pending_migrations

MAX_BACKUP_AGE = timedelta(hours=24)
NOT_READY = 1


class Command(BaseCommand):
    help = (
        "Show what migrate would run, about how long it takes, and what cannot be undone. Exits with 0 if the upgrade "
        "can begin or there is nothing to run, and with 1 if no recent backup was named or this version cannot upgrade "
        "the database. Changes nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        backups = parser.add_mutually_exclusive_group()
        backups.add_argument(
            "--backup", type=Path, metavar="FOLDER", help="the newest backup that `manage.py backup` wrote"
        )
        backups.add_argument(
            "--no-backup", action="store_true", help="the database is backed up by other means"
        )

    def handle(self, *, backup: Path | None, no_backup: bool, **_: Any) -> None:
        check_schema(accepts_older=True)
        release, identities = load_recorded()
        made_by = (
            f"The database was last migrated by {release}." if release else "The database has no tables."
        )
        self.stdout.write(f"This is Integration Hub {__version__}. {made_by}")
        pending = pending_migrations()
        if not pending:
            self.stdout.write("There is nothing to run.")
            return
        self.stdout.write("\n".join(describe_plan(pending)))
        if no_backup or not release:
            return
        if backup is None:
            raise CommandError(
                "Back up the database first, then name the backup with --backup FOLDER.", returncode=NOT_READY
            )
        self.stdout.write(describe_backup(backup, identities))


def describe_plan(pending: Sequence[PendingMigration]) -> Iterator[str]:
    """Yield the lines about the migrations to run, their duration, and what cannot be undone."""
    yield f"Migrations to run: {len(pending)}."
    for migration in pending:
        yield f"  {migration.name}"
        yield from (f"    {operation}" for operation in migration.operations)
        for work in migration.work:
            verb = "Rewrites" if work.kind == "rewrite" else "Reads"
            yield f"    {verb} {work.table}: about {work.rows:,} rows, about {describe_seconds(work.seconds)}"
    total = sum(work.seconds for migration in pending for work in migration.work)
    yield (
        f"Estimated time: about {describe_seconds(total)}. This is an estimate by the number of rows: a run on a copy "
        "of the database tells how long it takes on your machine."
    )
    unmeasured = [f"{row.name}: {operation}" for row in pending for operation in row.unmeasured]
    if unmeasured:
        yield "Not in the estimate, because it runs code of its own:"
        yield from (f"  {line}" for line in unmeasured)
    irreversible = [f"{row.name}: {operation}" for row in pending for operation in row.irreversible]
    yield "Cannot be undone, except by restoring a backup:" if irreversible else "All of it can be undone."
    yield from (f"  {line}" for line in irreversible)


def describe_seconds(seconds: float) -> str:
    """Return a duration in the unit in which it is short."""
    if seconds < 1:
        return "a second"
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"


def describe_backup(folder: Path, identities: set[str]) -> str:
    """Return a sentence about a backup. Raises CommandError unless it is a recent one of this schema."""
    manifest = read_manifest(folder)
    if set(manifest.schema) != identities:
        raise CommandError(f"{folder} is a backup of a database with another schema.", returncode=NOT_READY)
    age = datetime.now(UTC) - datetime.fromisoformat(manifest.made_at)
    if age > MAX_BACKUP_AGE:
        raise CommandError(
            f"The backup in {folder} is of {manifest.made_at}. Make one that is not older than 24 hours.",
            returncode=NOT_READY,
        )
    if not manifest.audit_is_whole:
        raise CommandError(
            f"The backup in {folder} has faults in its audit log. Run verify_audit first.",
            returncode=NOT_READY,
        )
    return f"The backup of {manifest.made_at} is recent and has this schema."
