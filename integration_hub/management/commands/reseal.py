"""`manage.py reseal`: after a new key was put in front of SEALING_KEYS and every process knows it."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from audit.entries.append import NewEntry, append_entries
from integration_hub.resealing import SEALED, reseal_column
from webhooks.encryption.at_rest import CannotOpen


class Command(BaseCommand):
    help = (
        "Seal every secret, credential and key of the hub anew under the first of SEALING_KEYS, and payloads that "
        "belong to nobody. Those of a subject stay as they are: its key is sealed anew. First restart every web "
        "process and worker with the new key in front: one that does not know it opens nothing afterwards."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        help_text = "go on after this payload, the last key that an interrupted run printed"
        parser.add_argument("--after", type=int, default=0, metavar="KEY", help=help_text)

    def handle(self, *, after: int, **_: Any) -> None:
        done: dict[str, int] = {}
        try:
            for column in SEALED:
                done[column.name] = 0
                for key, count in reseal_column(column, after if column.name == "payloads" else 0):
                    done[column.name] += count
                    self.stdout.write(f"{column.name} up to {key}: {done[column.name]} sealed anew")
        except CannotOpen as error:
            raise CommandError(f"{column.name}: {error}; nothing more was changed.") from error
        with transaction.atomic():
            append_entries(NewEntry("system", "sealing.renewed", details=done))
        self.stdout.write("Done: " + ", ".join(f"{count} {name}" for name, count in done.items()))
        self.stdout.write(
            "A process that does not know the first of SEALING_KEYS opens none of it. Once all of them know it, "
            "take the other keys away and restart them all."
        )
