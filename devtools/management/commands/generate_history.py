"""`python -m devtools generate_history --events 1000000`: fill a database with the history of three busy months."""

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from devtools.sample_history.bulk_insert import disable_disk_sync, restore_disk_sync
from devtools.sample_history.event_rows import EVENT_ID_PREFIX
from devtools.sample_history.generator import generate_history
from webhooks.models import Event

_REPORT_INTERVAL = 50_000


class Command(BaseCommand):
    help = (
        "Fill the hub with generated events and their outcomes, to try the console and to "
        "measure it. Nothing is sent, and no audit entries are written."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--events", type=int, default=10_000)
        parser.add_argument("--days", type=float, default=90.0)
        parser.add_argument("--seed", type=int, default=1, help="the same seed generates the same history")
        parser.add_argument(
            "--bodies", type=int, default=500, help="how many of the newest events have payloads"
        )
        parser.add_argument(
            "--yes", action="store_true", help="generate even if there are real events; this cannot be undone"
        )

    def handle(self, *, events: int, days: float, seed: int, bodies: int, yes: bool, **_: Any) -> None:
        if events < 1 or days <= 0:
            raise CommandError("--events and --days must be above zero.")
        if not yes and Event.objects.exclude(event_id__startswith=EVENT_ID_PREFIX).exists():
            raise CommandError(
                "This database has real events. Generated events cannot be removed again. Use another database, or "
                "add --yes."
            )
        started = time.monotonic()
        disable_disk_sync()
        try:
            for stored in generate_history(
                events, now=timezone.now().timestamp(), days=days, seed=seed, bodies=bodies
            ):
                if stored % _REPORT_INTERVAL == 0 or stored == events:
                    seconds = time.monotonic() - started
                    self.stdout.write(f"{stored:,} of {events:,} events, {stored / seconds:,.0f} a second")
        except LookupError as error:
            raise CommandError(
                f"{error}: run `python -m devtools seed_sandbox`, or create a route."
            ) from error
        finally:
            restore_disk_sync()
