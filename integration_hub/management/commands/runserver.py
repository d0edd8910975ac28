"""`manage.py runserver`: WhiteNoise's command, refused for a database that another version created."""

from typing import Any

from whitenoise.runserver_nostatic.management.commands import runserver  # type: ignore[import-untyped]

from integration_hub.checks import check_database_at_start


class Command(runserver.Command):  # type: ignore[misc]
    def handle(self, *args: Any, **options: Any) -> None:
        check_database_at_start()
        super().handle(*args, **options)
