"""`manage.py migrate`: Django's command, refused for a database that no migration of this version upgrades."""

from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands import migrate

from database.move_marker import read_move
from integration_hub.schema_version import check_schema
from integration_hub.start_refusals import describe_failed_connection


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        if failure := describe_failed_connection(options["database"]):
            raise CommandError(
                f"The database cannot be used: {failure}. Check DATABASE_URL, and that it runs."
            )
        check_schema(options["database"], accepts_older=True)
        if read_move() is not None:
            raise CommandError(
                "This hub is being moved to another database: finish the move, or give it up, first."
            )
        super().handle(*args, **options)
