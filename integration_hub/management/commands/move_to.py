"""`manage.py move_to`: move the hub from SQLite to PostgreSQL, or give up a move."""

from argparse import ArgumentParser
from typing import Any

import psycopg
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from database.move_marker import read_move
from integration_hub.environment import parse_database_url
from integration_hub.move.maintenance import give_up
from integration_hub.move.move import MoveOptions, move_hub
from integration_hub.move.target import describe_target, open_target
from integration_hub.schema_version import check_schema


class Command(BaseCommand):
    help = (
        "Move the hub from the SQLite file of DATABASE_URL into an empty PostgreSQL database. Sources get 503 "
        "meanwhile, and the console is read-only. If the command is interrupted, run it again: it goes on where it "
        "was. The old file stays, and refuses every write."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        help_text = (
            "the DATABASE_URL of the new database; a password may be in PGPASSWORD or ~/.pgpass instead"
        )
        parser.add_argument("url", nargs="?", metavar="URL", help=help_text)
        parser.add_argument(
            "--estimate",
            action="store_true",
            help="check every value and say how long it takes; move nothing",
        )
        parser.add_argument(
            "--accept-faults", action="store_true", help="move although verify_audit finds faults in the copy"
        )
        parser.add_argument(
            "--undo", action="store_true", help="give up a move that has not ended: the hub stays where it is"
        )

    def handle(self, *, url: str | None, undo: bool, **options: Any) -> None:
        if connection.vendor != "sqlite":
            raise CommandError(
                "Only a hub on SQLite can be moved. For another server, use backup and restore."
            )
        if undo:
            give_up()
            self.stdout.write("The move was given up. The hub takes webhooks again, and nothing was changed.")
            return
        if not url:
            raise CommandError("Name the URL of the new database.")
        move = read_move()
        # A move that was killed just before its end is finished below.
        if move is None or not move.has_ended:
            check_schema()
        address = _parse_target(url)
        described = describe_target(address)
        chosen = MoveOptions(described, options["estimate"], options["accept_faults"])
        try:
            with open_target(url, address) as target:
                move_hub(target, chosen, self._announce)
        except psycopg.OperationalError as error:
            raise CommandError(f"The target failed: {str(error).strip()}. Run the command again.") from None
        if not options["estimate"]:
            self.stdout.write(
                f"Moved. Set DATABASE_URL to {described} (with user and password) and restart every process of the "
                "hub. Keep the old file until a backup of the new database is made: it does not change any more."
            )

    def _announce(self, sentence: str) -> None:
        """Print a sentence at once: a move takes long, and whoever reads it through a pipe waits for it."""
        self.stdout.write(sentence)
        self.stdout.flush()


def _parse_target(url: str) -> dict[str, Any]:
    try:
        address = parse_database_url(url)
    except ImproperlyConfigured:
        address = {}
    if "postgresql" not in address.get("ENGINE", ""):
        raise CommandError("The target must be like postgres://user:password@host/database.")
    return address
