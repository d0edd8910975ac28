"""`python -m devtools show_comparison`: compare the people of the sandbox, and make equal what differs."""

import json
import time
from argparse import ArgumentParser
from contextlib import suppress
from io import StringIO
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from sync.comparisons.make_equal import make_equal_at_once
from sync.comparisons.requests import open_comparison
from sync.models import SETTLED_STATES, Comparison, Delivery, Difference, DifferenceKind, Route

_REASON = "Shown by make run"
_WAIT_SECONDS = 60.0


class Command(BaseCommand):
    help = (
        "Compare the two sandbox systems, make equal each record that differs, and compare again. Exits with 0 if "
        "nothing differs any more."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--route", default="aurora-user-shop", help="slug of the route")
        parser.add_argument("--login", default="support", help="who makes equal")

    def handle(self, *, route: str, login: str, **_: Any) -> None:
        first = self._compare(7, route)
        differences = Difference.objects.filter(
            comparison__uuid=first["comparison"], kind=DifferenceKind.DIFFERS
        )
        for difference in differences.order_by("pk"):
            self._make_equal(Route.objects.get(slug=route), difference, login)
        second = self._compare(9, route)
        if not differences or second["counts"].get(DifferenceKind.DIFFERS):
            raise CommandError("The difference was not found, or not made equal.")

    def _compare(self, step: int, route: str) -> dict[str, Any]:
        """Compare, and print what was found. Returns the result of `manage.py compare`."""
        if open_comparison(Route.objects.get(slug=route)) is not None:
            # One that began earlier, before a restart: it may have read the record before it was changed.
            self._run_compare(route)
        result = self._run_compare(route)
        if result.get("failure"):
            raise CommandError(result["failure"])
        counts = {name: number for name, number in result["counts"].items() if number}
        fields = f" ({', '.join(result['fields'])})" if result["fields"] else ""
        words = ", ".join(f"{number} {name}" for name, number in counts.items())
        self._print(f"{step}. Compared: {words}{fields}")
        return result

    def _run_compare(self, route: str) -> dict[str, Any]:
        output = StringIO()
        # Its exit status says that something differs.
        with suppress(SystemExit):
            call_command("compare", route, json=True, stdout=output, stderr=self.stderr)
        [result] = json.loads(output.getvalue())
        return dict(result)

    def _make_equal(self, route: Route, difference: Difference, login: str) -> None:
        user = get_user_model()._default_manager.get(username=login)
        comparison = Comparison.objects.get(pk=difference.comparison_id)
        result = make_equal_at_once(
            route, difference.entity_id, "UPDATE", by=user, reason=_REASON, comparison=comparison
        )
        until = time.monotonic() + _WAIT_SECONDS
        open_deliveries = Delivery.objects.filter(pk__in=result.deliveries).exclude(state__in=SETTLED_STATES)
        while open_deliveries.exists():
            if time.monotonic() > until:
                raise CommandError("The record was not made equal within a minute.")
            time.sleep(0.1)
        self._print(f"8. Made equal: {', '.join(difference.fields)} of {difference.entity_id}")

    def _print(self, line: str) -> None:
        """Print a line at once, also into a pipe."""
        self.stdout.write(line)
        self.stdout.flush()
