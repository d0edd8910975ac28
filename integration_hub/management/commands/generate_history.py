"""`manage.py generate_history --events 1000000`: a database as it looks after three busy months."""

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from integration_hub.devtools.sample_history.bulk_insert import hurry, take_care
from integration_hub.devtools.sample_history.event_rows import MARK
from integration_hub.devtools.sample_history.generator import generate
from webhooks.models import Event

_EVERY = 50_000


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
        if not yes and Event.objects.exclude(event_id__startswith=MARK).exists():
            raise CommandError(
                "This database has real events. Generated events could not be removed again. Use another "
                "database, or add --yes."
            )
        began = time.monotonic()
        hurry()
        try:
            for done in generate(events, now=timezone.now().timestamp(), days=days, seed=seed, bodies=bodies):
                if done % _EVERY == 0 or done == events:
                    took = time.monotonic() - began
                    self.stdout.write(f"{done:,} of {events:,} events, {done / took:,.0f} a second")
        except LookupError as error:
            raise CommandError(f"{error}: run `manage.py seed_sandbox`, or create a route.") from error
        finally:
            take_care()
