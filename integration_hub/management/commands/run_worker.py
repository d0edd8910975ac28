"""`manage.py run_worker`: run one worker, refused for a database that another version created."""

from typing import Any

from integration_hub.checks import check_database_at_start
from sync.management.commands import run_worker


class Command(run_worker.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        check_database_at_start()
        super().handle(*args, **options)
