"""`manage.py compare`: compare the two systems of routes, as the console does, and print the result."""

import json
import time
from argparse import ArgumentParser
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sync.comparisons.agreement import shows_in_step
from sync.comparisons.requests import (
    KIND,
    ComparisonRefused,
    cancel_comparison,
    open_comparison,
    request_comparison,
)
from sync.comparisons.result_formats import format_json, format_lines
from sync.jobs.submission import failure_text_of
from sync.models import Comparison, ComparisonCause, ComparisonPhase, ComparisonState, Route

NOT_IN_STEP = 1
CANNOT_TELL = 2
POLL_SECONDS = 0.5
# A comparison that no worker takes for so long is worth a word.
WORKER_SECONDS = 5.0
# A command that a timer starts must end, also where no worker runs.
MAX_FOLLOW_SECONDS = 24 * 3600.0
_BAR_WIDTH = 30
_VERDICTS = {True: "in step", False: "not in step", None: "cannot tell"}


@dataclass(frozen=True, slots=True)
class RequestedComparison:
    """A route of the command with its comparison, or with the reason why there is none."""

    route: Route
    comparison: Comparison | None
    refusal: str = ""

    @property
    def in_step(self) -> bool | None:
        """True if the two systems agree, False if they do not, None if that cannot be told."""
        return shows_in_step(self.comparison) if self.comparison else None

    @property
    def failure(self) -> str:
        """Return why there is no result, for people; empty if there is one."""
        comparison = self.comparison
        if comparison is None or comparison.state == ComparisonState.DONE:
            return self.refusal
        if comparison.is_open:
            return "The comparison has not ended yet."
        reason = failure_text_of(KIND, comparison.pk) or comparison.failure
        return f"The comparison was cancelled or failed. {reason}".rstrip()


class Command(BaseCommand):
    help = (
        "Compare the identity service and the target of each route: a worker reads both sides and writes to neither. "
        "Follows the comparison and prints what it found; Ctrl-C leaves it running. Exits with 0 if all are in step, "
        "with 1 if one is not, and with 2 if that cannot be told: a comparison failed, was cancelled or could not read "
        "all entities, or a route is unknown or cannot be compared."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "routes", nargs="+", metavar="SLUG", help="slugs of routes, such as aurora-user-shop"
        )
        parser.add_argument("--json", action="store_true", help="print the results as one JSON array")
        parser.add_argument(
            "--cancel", action="store_true", help="end the open comparison of each route instead"
        )

    def handle(self, *, routes: list[str], json: bool, cancel: bool, **_: Any) -> None:
        found = _find_routes(routes)
        if cancel:
            self._cancel(found)
            return
        requested = [_request(route) for route in found]
        try:
            self._follow([one.comparison for one in requested if one.comparison])
        except KeyboardInterrupt:
            raise CommandError(_interrupted_text(routes), returncode=CANNOT_TELL) from None
        self._print_results(requested, as_json=json)
        verdicts = {one.in_step for one in requested}
        if None in verdicts:
            raise SystemExit(CANNOT_TELL)
        if False in verdicts:
            raise SystemExit(NOT_IN_STEP)

    def _cancel(self, routes: Iterable[Route]) -> None:
        for route in routes:
            comparison = open_comparison(route)
            is_cancelled = comparison is not None and cancel_comparison(comparison, by=None)
            result = "The comparison was cancelled." if is_cancelled else "No comparison is open."
            self.stdout.write(f"{route.slug}: {result}")

    def _follow(self, comparisons: Iterable[Comparison]) -> None:
        """Wait until the comparisons have ended, and show their progress on a terminal."""
        progress = _ProgressLine(self.stderr)
        until = time.monotonic() + MAX_FOLLOW_SECONDS
        for comparison in comparisons:
            word_due = time.monotonic() + WORKER_SECONDS
            comparison.refresh_from_db()
            while comparison.is_open and time.monotonic() < until:
                if comparison.state == ComparisonState.WAITING and time.monotonic() >= word_due:
                    word_due = until
                    progress.clear()
                    self.stderr.write(
                        "Waiting for a worker (manage.py run_worker), or for another comparison of this target."
                    )
                progress.show(comparison)
                time.sleep(POLL_SECONDS)
                comparison.refresh_from_db()
            progress.clear()

    def _print_results(self, requested: Iterable[RequestedComparison], *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps([_as_json(one) for one in requested], indent=2, ensure_ascii=False))
            return
        for one in requested:
            self.stdout.write(f"{one.route.slug}: {_VERDICTS[one.in_step]}. {one.failure}".rstrip())
            if one.comparison and one.comparison.state == ComparisonState.DONE:
                for line in format_lines(one.comparison):
                    self.stdout.write(line)


class _ProgressLine:
    """One line on a terminal that is written again and again; nothing where the output is no terminal."""

    def __init__(self, output: Any) -> None:
        self._output, self._is_terminal, self._length = output, output.isatty(), 0

    def show(self, comparison: Comparison) -> None:
        if self._is_terminal:
            self._write(_progress_text(comparison))

    def clear(self) -> None:
        if self._is_terminal and self._length:
            self._write("")
            self._output.write("\r", ending="")

    def _write(self, text: str) -> None:
        self._output.write(f"\r{text.ljust(self._length)}", style_func=str, ending="")
        self._output.flush()
        self._length = len(text)


def _find_routes(slugs: Iterable[str]) -> list[Route]:
    """Return the routes of these slugs, each once, in their order. Raises CommandError for an unknown one."""
    rows = Route.objects.select_related("source", "identity", "target", "mapping")
    routes = {route.slug: route for route in rows}
    unknown = [slug for slug in slugs if slug not in routes]
    if unknown:
        known = ", ".join(sorted(routes)) or "none"
        raise CommandError(f"There is no route {unknown[0]}. Routes: {known}.", returncode=CANNOT_TELL)
    return [routes[slug] for slug in dict.fromkeys(slugs)]


def _request(route: Route) -> RequestedComparison:
    """Request the comparison of a route; one of its pair that is open already is followed."""
    try:
        return RequestedComparison(route, request_comparison(route, cause=ComparisonCause.COMMAND))
    except ComparisonRefused as refused:
        return RequestedComparison(route, refused.open, "" if refused.open else str(refused))


def _interrupted_text(slugs: Iterable[str]) -> str:
    command = f"manage.py compare {' '.join(slugs)}"
    return f"The comparison goes on: `{command}` follows it again, and `{command} --cancel` ends it."


def _progress_text(comparison: Comparison) -> str:
    """Return the phase of a comparison, with a bar where the system says how many there are."""
    if comparison.state == ComparisonState.WAITING:
        return f"{comparison.route.slug}: {comparison.get_state_display()}"
    done, total = {
        ComparisonPhase.RECORDS: (comparison.read_records, comparison.total_records),
        ComparisonPhase.ENTITIES: (comparison.read_entities, comparison.total_entities),
        ComparisonPhase.CONFIRMING: (0, None),
    }[ComparisonPhase(comparison.phase)]
    text = f"{comparison.route.slug}: {comparison.get_phase_display()}"
    if not total:
        return f"{text} {done:,}" if done else text
    filled = _BAR_WIDTH * min(done, total) // total
    return f"{text} [{'#' * filled}{'.' * (_BAR_WIDTH - filled)}] {done:,} of {total:,}"


def _as_json(requested: RequestedComparison) -> dict[str, Any]:
    document: dict[str, Any] = {"route": requested.route.slug, "in_step": None}
    if requested.comparison:
        document |= format_json(requested.comparison)
    return document | ({"failure": requested.failure} if requested.failure else {})
