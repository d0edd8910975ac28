"""Count every hour again from the events, newest first, if counts may be wrong."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from database.clock import read_clock
from sync.operations.failure_groups import refresh_failure_groups
from sync.statistics.full_recount import count_remaining_hours, recount_all_hours


class Command(BaseCommand):
    """Recount all hours. If it is stopped, a worker, or this command with --resume, does the rest."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--resume", action="store_true", help="only the hours that an earlier run did not reach"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        now = read_clock()
        for done in recount_all_hours(now, resumes=options["resume"]):
            self.stdout.write(
                f"{done:%Y-%m-%d %H}:00 UTC counted, {count_remaining_hours(now):,} hours to go"
            )
        refresh_failure_groups()
        self.stdout.write("All hours have been counted.")
