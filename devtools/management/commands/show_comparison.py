"""`python -m devtools show_comparison ID`: compare a person of the sandbox in both systems, and make them equal."""

import time
from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from audit.entries.acting_person import ActingPerson
from sync.comparisons.compare_now import compare_entity_now
from sync.comparisons.live_plan import PlannedSubject
from sync.comparisons.make_equal import make_equal_at_once
from sync.models import SETTLED_STATES, Delivery, Route
from sync.replays.requests import ReplayRefused

_REASON = "Shown by make run"
_WAIT_SECONDS = 60.0


class Command(BaseCommand):
    help = (
        "Compare a person in the two sandbox systems now, make the record equal, and compare again. Exits with 0 if it "
        "differed, and does not any more."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("entity", help="id of the person whose record differs")
        parser.add_argument("--login", default="support", help="who compares and makes equal")

    def handle(self, *, entity: str, login: str, **_: Any) -> None:
        person = ActingPerson(get_user_model()._default_manager.get(username=login))
        route, planned = _compare(entity, person)
        if not planned.differing_fields:
            raise CommandError("The difference was not found.")
        self._print(f"6. Compared {entity} in both systems: {', '.join(planned.differing_fields)} differs")
        self._make_equal(route, entity, person)
        if not _compare(entity, person)[1].is_in_step:
            raise CommandError("The difference was not made equal.")
        self._print("8. Compared again: in step")

    def _make_equal(self, route: Route, entity: str, person: ActingPerson) -> None:
        try:
            result = make_equal_at_once(route, entity, "UPDATE", by=person.user, reason=_REASON)
        except ReplayRefused as error:
            raise CommandError(str(error)) from error
        until = time.monotonic() + _WAIT_SECONDS
        open_deliveries = Delivery.objects.filter(pk__in=result.deliveries).exclude(state__in=SETTLED_STATES)
        while open_deliveries.exists():
            if time.monotonic() > until:
                raise CommandError("The record was not made equal within a minute.")
            time.sleep(0.1)
        self._print("7. Made equal")

    def _print(self, line: str) -> None:
        """Print a line at once, also into a pipe."""
        self.stdout.write(line)
        self.stdout.flush()


def _compare(entity: str, person: ActingPerson) -> tuple[Route, PlannedSubject]:
    """Compare a person as *Compare now* does. Returns what was found, with the route that says what should be."""
    for compared in compare_entity_now("USER", entity, person.actor):
        if compared.planned is not None:
            return compared.route, compared.planned
    raise CommandError("No route compares people.")
