"""`manage.py backup`: copy the database while the hub runs, and verify the copy."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from database.private_files import make_new_files_private
from integration_hub.backups.backup import make_backup, record_backup
from integration_hub.schema_version import check_schema


class Command(BaseCommand):
    help = (
        "Back up the database into a new folder while the hub runs, and verify the copy. Keep SEALING_KEYS in "
        "another place: the backup does not contain them, and cannot be read without them."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path, metavar="FOLDER", help="a folder that does not exist yet")

    def handle(self, *, folder: Path, **_: Any) -> None:
        make_new_files_private()
        check_schema()
        folder = folder.absolute()
        manifest = make_backup(folder)
        self.stdout.write(
            f"Backed up {sum(manifest.rows.values()):,} rows of {len(manifest.rows)} tables into {folder}, as of "
            f"{manifest.made_at}."
        )
        try:
            record_backup(manifest)
        except DatabaseError:
            # The copy is whole. A role that may only read is enough to make it.
            self.stderr.write(
                "The backup could not be recorded in the audit log, so its age is in no metric: the database refused "
                "the entry."
            )
        if not manifest.audit_is_whole:
            raise CommandError(
                "The backup was kept, but its audit log has faults, and so has the database: run verify_audit.",
                returncode=1,
            )
        self.stdout.write("The copy is readable, and its audit log has no faults.")
