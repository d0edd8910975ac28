"""Load what a row of the event list says of its newest attempt: whose record, which fields, and the system's words."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import F

from audit.entries.readable_rows import parse_details
from audit.models import Entry
from console.payloads.answer_messages import AnswerMessage, answer_messages
from console.payloads.content import change_values, format_value, stored_finding
from console.payloads.masking import mask_message
from console.payloads.record_name import record_name
from sync.models import Attempt, Finding
from sync.models.delivery import delivery_stream

MAX_ENTRIES = 1_000
MAX_FIELDS = 20


@dataclass(frozen=True, slots=True)
class RowDetails:
    """Details of one event. `name`: of the person, group or file. `fields`: names of the fields that failed, or that
    were sent. `messages`: what the system or the hub said of it, with the values masked.
    """

    name: str = ""
    fields: tuple[str, ...] = ()
    messages: tuple[AnswerMessage, ...] = ()


NO_DETAILS = RowDetails()


def load_row_details(events: Sequence[Any], *, with_contents: bool) -> Mapping[int, RowDetails]:
    """Return the details of the events of a page by key, by one statement.

    Without `with_contents` they are the names of the fields that were sent, from the audit log, which has no values.
    """
    if not events:
        return {}
    return _details_from_findings(events) if with_contents else _details_from_audit_log(events)


def _details_from_findings(events: Sequence[Any]) -> dict[int, RowDetails]:
    by_key = {event.pk: event for event in events}
    attempts = (
        Attempt.objects.filter(
            delivery__event__in=list(by_key), number=F("delivery__last_number"), findings__isnull=False
        )
        .select_related("findings__subject")
        .only("code", "findings__encrypted", "findings__subject__wrapped")
        .annotate(
            event_key=F("delivery__event_id"),
            delivery_state=F("delivery__state"),
            delivery_code=F("delivery__code"),
        )
    )

    def decides(attempt: Any) -> tuple[bool, bool]:
        event = by_key[attempt.event_key]
        return attempt.delivery_state == event.state, attempt.delivery_code == event.code

    # The delivery that decided the state of the event comes last, and so replaces the others.
    return {attempt.event_key: _attempt_details(attempt) for attempt in sorted(attempts, key=decides)}


def _attempt_details(attempt: Attempt) -> RowDetails:
    change, answer = stored_finding(attempt, Finding.CHANGE), stored_finding(attempt, Finding.ANSWER)
    changed = change.get("fields", ())
    values = {
        field["name"]: field["before"] if field["after"] is None else field["after"] for field in changed
    }
    contents = change_values(attempt)
    failed = (format_value(error.get("field") or "") for error in answer.get("errors", ()))
    names = list(filter(None, failed)) or [field["name"] for field in changed]
    return RowDetails(
        record_name({**change.get("same", {}), **values}),
        tuple(dict.fromkeys(mask_message(name, contents) for name in names[:MAX_FIELDS])),
        answer_messages(attempt, is_masked=True),
    )


def _details_from_audit_log(events: Iterable[Any]) -> dict[int, RowDetails]:
    streams = {
        delivery_stream(event.uuid, event.route_key): event.pk
        for event in events
        if event.route_key is not None
    }
    entries = Entry.objects.filter(stream__in=list(streams), action__startswith="attempt.")
    # In the order of the index on streams: the newest entry of each comes last, and so replaces the others.
    rows = entries.order_by("stream", "stream_seq").values_list("stream", "details")[:MAX_ENTRIES]
    return {
        streams[stream]: RowDetails(fields=tuple(map(str, names[:MAX_FIELDS])))
        for stream, details in rows
        if isinstance(names := parse_details(details).get("fields"), list)
    }
