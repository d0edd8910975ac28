"""`manage.py update_search_digests`: store the digests by which people are found, from stored payloads."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sync.mappings.search_history import digest_history
from sync.search.search_digests import can_search_values


class Command(BaseCommand):
    help = (
        "Store the digests by which people are found, made with the first of SEARCH_KEYS, for all entities whose "
        "data are still stored. Run it after a key was set or put first in SEARCH_KEYS of all processes, and after a "
        "mapping got another searchable field. Events that arrive later need no command."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        help_text = "continue an interrupted run: the last event that it printed"
        parser.add_argument("--before", type=int, metavar="EVENT", help=help_text)

    def handle(self, *, before: int | None, **_: Any) -> None:
        if not can_search_values():
            raise CommandError("SEARCH_KEYS is not set: without a key nobody is found by a value.")
        entities = stored = 0
        for progress in digest_history(before):
            entities, stored = progress.entities, progress.stored
            self.stdout.write(f"event {progress.event}: {entities} entities read, {stored} changed")
        self.stdout.write(f"Done: {entities} entities read, {stored} changed.")
