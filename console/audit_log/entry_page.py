"""Build the page of one audit entry: its changes, related entries, the record, and the segment that seals it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection
from django.utils.safestring import SafeString

from audit.entries.actor_context import CONTEXT_FIELD
from audit.entries.readable_rows import load_entries, parse_details
from audit.entries.search import filter_by_actor
from audit.format.entry_body import BODY_COLUMNS
from audit.format.id_ranges import unpack_ids
from audit.format.signed_records import format_time
from audit.models import Entry, Segment
from console.audit_log.entry_details import detail_rows, plain_name
from console.audit_log.entry_words import EntryRow, describe_entries
from console.ui.field_diff import FieldChange, diff_fields

_SHOWN_ELSEWHERE = ("before", "after", "changed", "reason", "address", CONTEXT_FIELD)
# A request, with the download that it began, is over by then.
_REQUEST_WINDOW = timedelta(minutes=10)
_MAX_READ = 500
_MAX_SHOWN = 20
_MAX_NEIGHBOURS = 5


@dataclass(frozen=True, slots=True)
class EntryPage:
    """The content of the page.

    `hidden` has the changed fields whose values are not shown to anyone. `of_request` has the other entries of the same
    request, `of_object` the entries just before and after this one in its stream, in order of time.
    """

    row: EntryRow
    changes: Sequence[FieldChange]
    hidden: Sequence[str]
    facts: Sequence[tuple[str, str | SafeString]]
    of_request: Sequence[EntryRow]
    of_object: Sequence[EntryRow]
    recorded: str


def build_entry_page(entry: Entry, user: Any) -> EntryPage:
    """Load the page of an entry, by four statements."""
    details = parse_details(entry.details)
    same_request = _entries_of_request(entry, details)
    same_object = _entries_of_object(entry)
    row, *others = describe_entries([entry, *same_request, *same_object], user)
    before, after = (_as_mapping(details.get(name)) for name in ("before", "after"))
    return EntryPage(
        row=row,
        changes=diff_fields(before, after, {name: plain_name(name) for name in {**before, **after}}),
        hidden=[plain_name(str(name)) for name in _as_list(details.get("changed"))],
        facts=_facts(details),
        of_request=others[: len(same_request)],
        of_object=others[len(same_request) :],
        recorded=_recorded_text(entry),
    )


def _facts(details: Mapping[str, Any]) -> Sequence[tuple[str, str | SafeString]]:
    """Return the details in words; none if the hub does not write details of this form."""
    try:
        return detail_rows(details, _SHOWN_ELSEWHERE)
    except (AttributeError, LookupError, TypeError, ValueError):
        return []


def _recorded_text(entry: Entry) -> str:
    """Return the body of the entry, or the stored columns if they make none."""
    if not entry.damaged:
        return _indented(json.loads(entry.body))
    columns = {name: getattr(entry, name) for name in BODY_COLUMNS if name not in entry.damaged}
    return _indented({**columns, **entry.damaged})


def _indented(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, default=_column_text)


def _column_text(value: Any) -> str:
    return format_time(value) if isinstance(value, datetime) else bytes(value).hex()


def _entries_of_request(entry: Entry, details: Mapping[str, Any]) -> list[Entry]:
    """Return the other entries of the same request.

    No column names the request, so it is searched among the entries of the same actor around that time.
    """
    request = _as_mapping(details.get(CONTEXT_FIELD)).get("request")
    if not request or "at" in entry.damaged:
        return []
    around = Entry.objects.filter(
        at__gte=entry.at - _REQUEST_WINDOW, at__lte=entry.at + _REQUEST_WINDOW
    ).exclude(pk=entry.pk)
    entries = filter_by_actor(around, entry.actor, connection.vendor).order_by("at", "pk")[:_MAX_READ]
    same = [
        other
        for other in load_entries(entries)
        if _as_mapping(parse_details(other.details).get(CONTEXT_FIELD)).get("request") == request
    ]
    return same[:_MAX_SHOWN]


def _entries_of_object(entry: Entry) -> list[Entry]:
    stream = Entry.objects.filter(stream=entry.stream)
    earlier = stream.filter(stream_seq__lt=entry.stream_seq).order_by("-stream_seq")[:_MAX_NEIGHBOURS]
    later = stream.filter(stream_seq__gt=entry.stream_seq).order_by("stream_seq")[:_MAX_NEIGHBOURS]
    return [*reversed(load_entries(earlier)), *load_entries(later)]


def _as_mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


# Entries are not committed in the order of their ids, so an entry may be sealed some segments later than its id
# suggests: at most one segment is closed a second, and no transaction lasts longer than two minutes.
_MAX_SEGMENTS = 150


class SealingSegment(NamedTuple):
    """The number of a segment, and the time it was closed."""

    number: int
    at: datetime


def find_sealing_segment(entry: Entry) -> SealingSegment | None:
    """Return the segment that contains the entry; None if it is not sealed yet. Usually one statement, three
    at most.
    """
    reaching = Segment.objects.filter(highest_id__gte=entry.pk)
    # Segments without new entries repeat the highest id.
    after = reaching.order_by("highest_id", "number")
    late = reaching.filter(is_late=True).order_by("-number")
    for segments in (after[:1], after[1:_MAX_SEGMENTS], late[:_MAX_SEGMENTS]):
        for number, at, ids in segments.values_list("number", "sealed_at", "ids"):
            if entry.pk in unpack_ids(bytes(ids)):
                return SealingSegment(number, at)
    return None
