"""What can be downloaded, and its columns: the one place that declares them."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from django.db import connection, transaction
from django.db.models import Count, QuerySet

from audit.export.line_formats import Format, Row
from audit.models import Entry
from sync.models import Attempt
from webhooks.catalogue.reference import to_reference
from webhooks.models import Event, Receipt

CHUNK = 2_000


@dataclass(frozen=True, slots=True)
class Export:
    """A kind of row that can be downloaded. `rows` turns a filtered, ordered queryset into its rows."""

    name: str
    permission: str
    columns: Sequence[str]
    rows: Callable[[QuerySet[Any]], Iterator[Row]]


@dataclass(slots=True)
class Tally:
    """What went out so far: rows, bytes and their SHA-256."""

    rows: int = 0
    size: int = 0
    digest: Any = field(default_factory=hashlib.sha256)

    def as_details(self) -> dict[str, int | str]:
        return {"rows": self.rows, "bytes": self.size, "sha256": self.digest.hexdigest()}


def encode(export: Export, queryset: QuerySet[Any], form: Format, tally: Tally) -> Iterator[bytes]:
    """The file in pieces of some hundred kilobytes, in constant memory; `tally` counts along."""
    with _steady():
        lines = form.write(export.columns, _counted(export.rows(queryset), tally))
        for some in batches(lines, CHUNK // 4):
            piece = "".join(some).encode()
            tally.size += len(piece)
            tally.digest.update(piece)
            yield piece


def _steady() -> Any:
    """A transaction around the reading where that is what makes the database stream (PostgreSQL's cursors).

    On SQLite a statement reads from its own snapshot anyway, and a transaction would hold up every writer.
    """
    return transaction.atomic() if connection.vendor == "postgresql" else _Nothing()


class _Nothing:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def _counted(rows: Iterator[Row], tally: Tally) -> Iterator[Row]:
    for row in rows:
        tally.rows += 1
        yield row


def batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """The items in lists of at most `size`."""
    iterator = iter(items)
    while some := list(islice(iterator, size)):
        yield some


def event_rows(queryset: QuerySet[Any]) -> Iterator[Row]:
    """Three statements for each 2,000 events."""
    events = queryset.select_related("source").only(*_EVENT_FIELDS).iterator(chunk_size=CHUNK)
    for some in batches(events, CHUNK):
        keys = [event.pk for event in some]
        answers, attempts = _answers(keys), _attempts(keys)
        for event in some:
            yield [*_facts(event), answers[event.pk], attempts.get(event.pk, 0)]


_EVENT_FIELDS = (
    "uuid",
    "source__slug",
    "event_id",
    "entity_type",
    "entity_id",
    "event_type",
    "occurred_at",
    "received_at",
    "is_signed",
    "state",
    "code",
    "digest",
)


def _facts(event: Event) -> Row:
    return [
        event.reference,
        event.source.slug,
        event.event_id,
        event.entity_type,
        event.entity_id,
        event.event_type,
        _time(event.occurred_at),
        _time(event.received_at),
        event.is_signed,
        event.state,
        event.code,
        bytes(event.digest).hex(),
    ]


def _answers(keys: list[int]) -> dict[int, list[dict[str, Any]]]:
    """Of each event, what its requests were told, in order."""
    told: dict[int, list[dict[str, Any]]] = defaultdict(list)
    receipts = Receipt.objects.filter(event_id__in=keys).order_by("id")
    names = ("event_id", "uuid", "status", "code", "answered_at")
    for key, uuid, status, code, at in receipts.values_list(*names):
        told[key].append({"receipt": to_reference(uuid), "status": status, "code": code, "at": _time(at)})
    return told


def _attempts(keys: list[int]) -> dict[int, int]:
    counted = Attempt.objects.filter(delivery__event_id__in=keys).values_list("delivery__event_id")
    return dict(counted.annotate(Count("pk")).order_by())


def entry_rows(queryset: QuerySet[Any]) -> Iterator[Row]:
    """Audit entries; `body` is the stored text, byte for byte."""
    values = queryset.values_list("id", "at", "stream", "action", "actor", "body")
    for key, at, *others in values.iterator(chunk_size=CHUNK):
        yield [key, _time(at), *others]


def _time(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z") if at else None


EVENTS = Export(
    "events",
    "webhooks.download_event",
    (
        "reference",
        "source",
        "event_id",
        "entity_type",
        "entity_id",
        "event_type",
        "occurred",
        "received",
        "signed",
        "state",
        "code",
        "body_sha256",
        "answers",
        "attempts",
    ),
    event_rows,
)
ENTRIES = Export(
    "audit",
    "audit.download_entry",
    ("id", "at", "stream", "action", "actor", "body"),
    entry_rows,
)
EXPORTS = {Event: EVENTS, Entry: ENTRIES}
