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
        "Fill the hub with invented events of the last days, with what came of them: for looking at the console and "
        "for measuring it. Nothing is sent anywhere. It writes no audit entries: nothing happened."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--events", type=int, default=10_000)
        parser.add_argument("--days", type=float, default=90.0)
        parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same history")
        parser.add_argument("--bodies", type=int, default=500, help="the newest so many carry contents")
        parser.add_argument("--yes", action="store_true", help="even where there are real events: for good")

    def handle(self, *, events: int, days: float, seed: int, bodies: int, yes: bool, **_: Any) -> None:
        if events < 1 or days <= 0:
            raise CommandError("--events and --days must be above zero.")
        if not yes and Event.objects.exclude(event_id__startswith=MARK).exists():
            raise CommandError(
                "There are real events here. Invented ones would stand among them and could not be taken out again: "
                "use another database, or say --yes."
            )
        began = time.monotonic()
        hurry()
        try:
            for done in generate(events, now=timezone.now().timestamp(), days=days, seed=seed, bodies=bodies):
                if done % _EVERY == 0 or done == events:
                    took = time.monotonic() - began
                    self.stdout.write(f"{done:,} of {events:,} events, {done / took:,.0f} a second")
        except LookupError as error:
            raise CommandError(f"{error}: run `manage.py seed_sandbox`, or make a route.") from error
        finally:
            take_care()
