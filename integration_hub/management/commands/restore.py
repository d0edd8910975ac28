"""`manage.py restore`: load a backup, and erase again whoever was erased since."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from database.private_files import make_new_files_private
from integration_hub.backups.restore import restore_backup
from sync.erasure.erasure_list import ListedErasure, read_erasure_list


class Command(BaseCommand):
    help = (
        "Restore a backup into the empty database of DATABASE_URL. Stop every process of the hub first. Afterwards "
        "all sources are paused, and the erasures made since the backup have been repeated."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path, metavar="FOLDER", help="the folder that backup wrote")
        lists = parser.add_mutually_exclusive_group()
        lists.add_argument(
            "--erasures", type=Path, metavar="FILE", help="the list of erasures (ERASURE_LIST)"
        )
        lists.add_argument(
            "--no-erasures", action="store_true", help="no one has been erased since the backup"
        )
        help_text = (
            "replace the SQLite file of DATABASE_URL; the old file is renamed and stays next to the new one"
        )
        parser.add_argument("--replace", action="store_true", help=help_text)

    def handle(self, *, folder: Path, erasures: Path | None, **options: Any) -> None:
        make_new_files_private()
        listed = [] if options["no_erasures"] else read_list(erasures or Path(settings.ERASURE_LIST))
        report = restore_backup(folder, listed, replaces=options["replace"], announce=self.stdout.write)
        self.stdout.write(f"Restored the backup of {report.manifest.made_at}.")
        if report.waiting:
            self.stdout.write(
                f"Erasures waiting for deliveries that were running when the backup was made: {report.waiting}. "
                "Workers finish them; until then the data is still stored."
            )
        for fault in report.faults:
            self.stderr.write(fault)
        if report.faults:
            raise CommandError("The audit log of this backup has faults.", returncode=1)
        self.stdout.write(
            "The audit log has no faults. Start the hub, look at the open deliveries, then resume the sources."
        )


def read_list(path: Path) -> list[ListedErasure]:
    """Return the erasures on a list. Raises CommandError."""
    try:
        return list(read_erasure_list(path))
    except OSError as error:
        raise CommandError(
            f"The list of erasures {path} cannot be read ({error.strerror}). Name your copy of it with --erasures, "
            "or add --no-erasures if no one has been erased since the backup."
        ) from None
    except ValueError as error:
        raise CommandError(
            f"The list of erasures {path} cannot be used: {error}. Correct or delete it."
        ) from None
