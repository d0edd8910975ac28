"""The base of the two export commands: format, output file, and the entries on the audit log."""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, ClassVar
from uuid import uuid4

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.db.models import QuerySet
from django.utils.dateparse import parse_date, parse_datetime

from audit.entries.append import NewEntry, append_entries
from audit.export.line_formats import FORMATS
from exports.list_export import ListExport, StreamStats, stream_rows
from sync.search.event_filter import PERSONAL_PARAMS


def parse_day_or_time(text: str) -> datetime:
    """Parse a day or an RFC 3339 time, in UTC if no zone is given. Raises ValueError for anything else."""
    day = parse_date(text) if len(text) == 10 else None
    parsed = datetime(day.year, day.month, day.day, tzinfo=UTC) if day else parse_datetime(text)
    if parsed is None:
        raise ValueError("a day or a time, for example 2026-01-31 or 2026-01-31T12:00:00Z")
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def require_known_values(option: str, typed: str, possible: Iterable[str]) -> None:
    """Raise CommandError if one of the comma-separated values is not possible: such a filter would export nothing."""
    possible_values = sorted(possible)
    unknown = [value for value in typed.split(",") if typed and value not in possible_values]
    if unknown:
        raise CommandError(
            f"Unknown {option} {unknown[0]!r}. Available: {', '.join(possible_values) or 'none'}."
        )


def require_ordered_period(begin: datetime | None, end: datetime | None) -> None:
    """Raise CommandError if the period is empty."""
    if begin and end and begin >= end:
        raise CommandError(f"The period from {begin} until {end} is empty: the start must be before the end.")


class ExportCommand(BaseCommand):
    """A command that writes the rows selected by its options as one list."""

    list_export: ClassVar[ListExport]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--format", choices=list(FORMATS), default="jsonl")
        parser.add_argument(
            "--output", type=Path, help="output file; without it, the rows are written to standard output"
        )

    def select_rows(self, options: Mapping[str, Any]) -> tuple[QuerySet[Any], dict[str, str]]:
        """Return the selected rows in order, and the options as the audit log records them."""
        raise NotImplementedError

    def handle(self, *, format: str, output: Path | None, **options: Any) -> None:
        queryset, filters = self.select_rows(options)
        details = {
            "what": self.list_export.name,
            "format": format,
            "filters": {
                # The audit log is never erased, so it must not name a person.
                name: "withheld" if name in PERSONAL_PARAMS else value
                for name, value in filters.items()
            },
            "download": str(uuid4()),
        }
        _append_audit_entry("download.started", details)
        stats = StreamStats()
        with _open_destination(output) as file:
            for piece in stream_rows(self.list_export, queryset, FORMATS[format], stats):
                file.write(piece)
        _append_audit_entry("download.finished", {**details, **stats.to_audit_details()})
        self.stderr.write(f"{stats.rows} rows, SHA-256 {stats.digest.hexdigest()}")


def _append_audit_entry(action: str, details: Mapping[str, Any]) -> None:
    with transaction.atomic():
        append_entries(NewEntry("system", action, details=details))


@contextmanager
def _open_destination(output: Path | None) -> Iterator[BinaryIO]:
    """Yield the file to write to. It gets its final name only once all of it is flushed to disk."""
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if output.is_dir():
        raise CommandError(f"{output} is a folder.")
    part = output.with_name(f"{output.name}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise CommandError(f"cannot write {part}: {error.strerror}") from error
    part.replace(output)
