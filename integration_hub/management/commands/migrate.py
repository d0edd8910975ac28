"""`manage.py migrate`: Django's command, refused for a database that no migration of this version upgrades."""

from typing import Any

from django.core.management.commands import migrate

from integration_hub.schema_version import check_schema


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        check_schema(options["database"], accepts_older=True)
        super().handle(*args, **options)
