"""`manage.py export_events`: the event history as JSON Lines or CSV, or as evidence that proves itself."""

from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from shutil import copyfile
from typing import Any

from django.core.management.base import CommandError
from django.db.models import QuerySet
from django.utils import timezone

from exports.export_command import ExportCommand, require_known_values, require_ordered_period
from exports.jobs.lifecycle import TooManyExports, make_export_in_process
from exports.list_export import EVENT_EXPORT
from exports.models import Export, ExportState
from sync.models import Connection
from sync.search.event_filter import FILTER_PARAMS, EventFilter, resolve_filter, split_values
from sync.search.time_ranges import InvalidFilter
from sync.worker.job_process import lower_priority, until_signal, yield_cpu_when_busy
from webhooks.models import Event, Source, State

_HELP = {"received": "only the last 1, 24, 168 or 720 hours"}


class Command(ExportCommand):
    help = (
        "Write the event history as JSON Lines or CSV, newest first. The export is recorded in "
        "the audit log. The filter options are the parameters of the event list's address. With "
        "--evidence, create an archive with proof, as the console does."
    )
    list_export = EVENT_EXPORT

    def add_arguments(self, parser: ArgumentParser) -> None:
        for name in FILTER_PARAMS:
            parser.add_argument(f"--{name.replace('_', '-')}", dest=name, help=_HELP.get(name))
        super().add_arguments(parser)
        parser.add_argument(
            "--evidence",
            action="store_true",
            help=(
                "create an archive with proof immediately, as the console does; with --output, copy it "
                "to that file"
            ),
        )
        parser.add_argument(
            "--reason", default="", help="reason; required with --evidence, stored with the export"
        )

    def handle(self, **options: Any) -> None:
        if options.pop("evidence", False):
            self._make_evidence(options)
        else:
            super().handle(**options)

    def _make_evidence(self, options: Mapping[str, Any]) -> None:
        if not options["reason"].strip():
            raise CommandError("--evidence needs a --reason.")
        event_filter, output = _resolve_filter(options), options["output"]
        # Reserved first: a path that cannot be written fails before the export is made, not after.
        with _reserve_output(output) if output else nullcontext() as part:
            export = _make_export(event_filter, options["reason"][:500])
            if part:
                _copy_archive(export, part, output)
        self.stdout.write(str(output or export.archive))
        self.stderr.write(f"{export.total} events, export {export.uuid}, SHA-256 {export.sha256}")

    def select_rows(self, options: Mapping[str, Any]) -> tuple[QuerySet[Any], dict[str, str]]:
        event_filter = _resolve_filter(options)
        return event_filter.apply_to(Event.objects.order_by("-received_at", "-id")), event_filter.to_params()


@contextmanager
def _reserve_output(output: Path) -> Iterator[Path]:
    """Create a private file in the output's folder, to be renamed to it. Raises CommandError if that fails."""
    if output.is_dir():
        raise CommandError(f"{output} is a folder.")
    part = output.with_name(f"{output.name}.part")
    try:
        part.unlink(missing_ok=True)
        # A new file: one that exists would keep its own permissions.
        part.touch(mode=0o600, exist_ok=False)
    except OSError as error:
        raise CommandError(f"cannot write {part}: {error.strerror}") from error
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def _make_export(event_filter: EventFilter, reason: str) -> Export:
    try:
        lower_priority()
        export = make_export_in_process(
            event_filter, reason=reason, should_continue=yield_cpu_when_busy(until_signal())
        )
    except TooManyExports as error:
        raise CommandError(str(error)) from error
    if export.state != ExportState.DONE:
        raise CommandError(
            export.failure or f"The export is {export.get_state_display()}. See its page in the console."
        )
    return export


def _copy_archive(export: Export, part: Path, output: Path) -> None:
    try:
        copyfile(export.archive, part)
        part.replace(output)
    except OSError as error:
        text = f"Cannot write {output}: {error.strerror}. The archive is at {export.archive}."
        raise CommandError(text) from error


def _resolve_filter(options: Mapping[str, Any]) -> EventFilter:
    """Return the filter of the options. Raises CommandError for values that match nothing."""
    params = {name: str(options[name]) for name in FILTER_PARAMS if options.get(name) is not None}
    try:
        event_filter = resolve_filter(params, timezone.now())
    except InvalidFilter as error:
        raise CommandError(f"Invalid filters: {error}") from error
    # Nothing shows why a file is empty, unlike in the console, so a value that matches nothing is an error.
    for name, known in (
        ("state", State.values),
        ("source", Source.objects.values_list("slug", flat=True)),
    ):
        values, _is_excluded = split_values(getattr(event_filter, name))
        require_known_values(name, ",".join(values), known)
    require_known_values("connection", event_filter.target, Connection.objects.values_list("slug", flat=True))
    require_ordered_period(event_filter.received_from, event_filter.received_to)
    return event_filter
