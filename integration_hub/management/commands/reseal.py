"""`manage.py reseal`: encrypt stored data again, after a new key was put first in SEALING_KEYS of all processes."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from audit.entries.append import NewEntry, append_entries
from database.encryption.at_rest import CannotDecrypt
from integration_hub.key_rotation import ENCRYPTED_COLUMNS, reencrypt_column


class Command(BaseCommand):
    help = (
        "Encrypt all secrets, credentials, keys, and payloads without a subject again with the "
        "first of SEALING_KEYS. Payloads of a subject stay unchanged: their key is encrypted "
        "again. First restart all web processes and workers with the new key in first place; "
        "without it, they cannot decrypt anything afterwards."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        help_text = "continue after this payload: the last key that an interrupted run printed"
        parser.add_argument("--after", type=int, default=0, metavar="KEY", help=help_text)

    def handle(self, *, after: int, **_: Any) -> None:
        counts: dict[str, int] = {}
        try:
            for column in ENCRYPTED_COLUMNS:
                counts[column.name] = 0
                for key, count in reencrypt_column(column, after if column.name == "payloads" else 0):
                    counts[column.name] += count
                    self.stdout.write(f"{column.name} up to {key}: {counts[column.name]} encrypted again")
        except CannotDecrypt as error:
            raise CommandError(f"{column.name}: {error}; nothing more was changed.") from error
        with transaction.atomic():
            append_entries(NewEntry("system", "sealing.renewed", details=counts))
        self.stdout.write("Done: " + ", ".join(f"{count} {name}" for name, count in counts.items()))
        self.stdout.write(
            "Processes without the first of SEALING_KEYS can no longer decrypt the data. Once all "
            "processes have it, remove the other keys and restart all processes."
        )
