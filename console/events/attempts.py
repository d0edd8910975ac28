"""Load the newest attempts of an event's deliveries, with their outgoing requests."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.db.models import Prefetch
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from audit.entries.readable_rows import parse_details
from audit.models import Entry
from config_schema.codes.codes import CodeTexts
from console.base.damaged_rows import require_readable
from console.events.waterfall import BarSegment, CallSpan, bar_segments, longest_seconds, waiting_text
from console.payloads.answer_messages import AnswerMessage, answer_messages, is_found_by_hub
from console.payloads.content import (
    ChangeTable,
    PayloadAbsence,
    PayloadContent,
    change_table,
    request_content,
    request_document,
    response_content,
    stored_finding,
)
from console.payloads.curl_command import build_curl_command
from console.ui.formatting import short_duration
from console.ui.outcome_texts import describe_code
from sync.models import Attempt, AttemptOutcome, Call, Delivery, Finding, Recheck
from webhooks.models import Payload

MAX_ATTEMPTS = 50
MAX_WITH_CALLS = 20
MAX_CALLS = 400
_GOOD = (AttemptOutcome.SUCCEEDED, AttemptOutcome.UNCHANGED, AttemptOutcome.SUPERSEDED)
_DONE_TEXTS = {
    "created": gettext_noop("Record %(record)s created."),
    "updated": gettext_noop("Record %(record)s updated."),
    "deleted": gettext_noop("Record %(record)s deleted."),
}
_INTENDED_TEXTS = {
    "created": gettext_noop("Tried to create record %(record)s."),
    "updated": gettext_noop("Tried to update record %(record)s."),
    "deleted": gettext_noop("Tried to delete record %(record)s."),
}


@dataclass(frozen=True, slots=True)
class CallRow:
    """One outgoing request. Its content is None if the person may not see it."""

    row: Call
    took: str
    sent: PayloadContent | None
    answered: PayloadContent | None
    curl: str = ""

    @property
    def style(self) -> str:
        """Return the style of its bar segment: reads are quiet, failures are not."""
        is_good = self.row.status is not None and self.row.status < 400
        return ("info" if self.row.is_write else "good") if is_good else "bad"


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One attempt.

    `found_nothing`: the entity did not exist and no record of it was found. `messages` are the reasons given by the
    `system` that its code is about, or by the hub. `missing` is the reason that its change is no longer stored.
    `sent_fields` are the names of the fields that were sent, for people who may not see `change`. `calls` is None if
    they were not read.
    """

    row: Attempt
    words: CodeTexts
    system: str
    took: str
    change: ChangeTable | None
    messages: tuple[AnswerMessage, ...]
    missing: str = ""
    sent_fields: tuple[str, ...] = ()
    calls: tuple[CallRow, ...] | None = None
    seconds: float = 0.0
    bar: tuple[BarSegment, ...] = ()
    waiting_text: str = ""
    found_nothing: bool = False

    @property
    def is_found_by_hub(self) -> bool:
        """Return True if `messages` are the hub's own: no system has refused a request."""
        return is_found_by_hub(self.row.code)

    @property
    def left_out_fields(self) -> tuple[str, ...]:
        """Return the fields that were not sent, because the target does not keep them; empty if it is hidden."""
        return tuple(field.name for field in self.change.left_out) if self.change else ()

    @property
    def recheck(self) -> Recheck | None:
        """Return the re-checks of this attempt; None if its write had an answer, or it sent none."""
        return getattr(self.row, "recheck", None)

    @property
    def recheck_title(self) -> str:
        """Return the result of a write that had no answer, in two words; empty while that is not known."""
        if self.recheck is None:
            return ""
        if self.recheck.repaired_by is not None:
            return _("Repaired")
        return _("Confirmed later") if self.recheck.confirmed_at is not None else ""

    @property
    def action_text(self) -> str:
        """Return what was done to the record, or was tried; empty if there was nothing to do."""
        text = (_DONE_TEXTS if self.row.outcome == AttemptOutcome.SUCCEEDED else _INTENDED_TEXTS).get(
            self.row.action, ""
        )
        # A record that was not created has no id.
        return " ".join((_(text) % {"record": self.row.record_id}).split()).replace(" .", ".") if text else ""


def system_name(delivery: Delivery, code: str) -> str:
    """Return the name of the connection that a code of this delivery is about."""
    return delivery.connection_of_code(code).name


def attempts_by_delivery(
    deliveries: Sequence[Delivery], may: Mapping[str, bool], now: datetime, missing: PayloadAbsence
) -> dict[int, list[AttemptRow]]:
    """Return attempts by delivery, newest first, by four statements: 50 in all, the newest 20 with their requests."""
    rows = _newest_attempts(deliveries, may["contents"])
    sent_fields = {} if may["contents"] else _sent_field_names(deliveries)
    calls = _calls_by_attempt([row.pk for row in rows[:MAX_WITH_CALLS]], may, missing) if may["calls"] else {}
    owners = {delivery.pk: delivery for delivery in deliveries}
    rows_by_delivery: dict[int, list[AttemptRow]] = defaultdict(list)
    for place, row in enumerate(rows):
        # Reading calls is what costs: only the newest attempts get them.
        attempt = _attempt_row(row, owners[row.delivery_id], may, now, missing)
        known = tuple(calls.get(row.pk, ())) if place < MAX_WITH_CALLS else None
        rows_by_delivery[row.delivery_id].append(
            replace(attempt, calls=known, sent_fields=sent_fields.get(str(row.key), ()))
        )
    return {key: _add_bars(attempts) for key, attempts in rows_by_delivery.items()}


def _add_bars(attempts: list[AttemptRow]) -> list[AttemptRow]:
    """Add bars on the scale of the longest attempt. The oldest attempt shown has no known waiting time."""
    full = longest_seconds([attempt.seconds for attempt in attempts])
    before = [*(attempt.row.ended_at for attempt in attempts[1:]), None]
    return [
        replace(
            attempt,
            bar=_attempt_bar(attempt, full),
            waiting_text=waiting_text(ended_at, attempt.row.started_at),
        )
        for attempt, ended_at in zip(attempts, before, strict=True)
    ]


def _attempt_bar(attempt: AttemptRow, full: float) -> tuple[BarSegment, ...]:
    spans = [
        CallSpan(call.row.started_at, call.row.seconds or 0.0, call.style) for call in attempt.calls or ()
    ]
    style = "good" if attempt.row.outcome in _GOOD else "bad"
    return tuple(bar_segments(attempt.row.started_at, attempt.seconds, spans, full, style))


def _newest_attempts(deliveries: Sequence[Delivery], with_contents: bool) -> list[Attempt]:
    related = [
        "mapping_version__mapping",
        "person_request__requested_by",
        "recheck__repaired_by__delivery__event",
    ]
    related += ["findings__subject"] if with_contents else []
    rows = Attempt.objects.filter(delivery__in=[delivery.pk for delivery in deliveries]).select_related(
        *related
    )
    attempts = list(rows.order_by("-id")[:MAX_ATTEMPTS])
    require_readable(attempts)
    return attempts


def _sent_field_names(deliveries: Sequence[Delivery]) -> dict[str, tuple[str, ...]]:
    """Return the names of the fields that each attempt sent, by its key, from the audit log, which has no values."""
    streams = [delivery.stream for delivery in deliveries]
    entries = Entry.objects.filter(stream__in=streams, action__startswith="attempt.").order_by("-id")
    details = map(parse_details, entries.values_list("details", flat=True)[:MAX_ATTEMPTS])
    return {
        str(ended.get("attempt")): tuple(map(str, ended["fields"]))
        for ended in details
        if isinstance(ended.get("fields"), list)
    }


def _calls_by_attempt(
    attempts: list[int], may: Mapping[str, bool], missing: PayloadAbsence
) -> dict[int, list[CallRow]]:
    with_contents, covered = may["contents"], not may["revealed"]
    calls = Call.objects.filter(attempt__in=attempts).select_related("connection")
    if with_contents:
        # Prefetched, so that calls that share their responses share the object: it is loaded and decrypted once.
        responses = Prefetch("response", Payload.objects.select_related("subject"))
        calls = calls.select_related("request__subject").prefetch_related(responses)
    rows = list(calls.order_by("-attempt", "started_at", "id")[:MAX_CALLS])
    require_readable(rows)
    rows_by_attempt: dict[int, list[CallRow]] = defaultdict(list)
    for row in rows:
        missing_text = missing.reason_text(row.started_at) if with_contents and not row.response else ""
        sent = request_content(row, missing_text, is_masked=covered) if with_contents else None
        has_answer = with_contents and row.status is not None
        answered = response_content(row, missing_text, is_masked=covered) if has_answer else None
        document = request_document(row) if with_contents else {}
        command = build_curl_command(row.method, row.path, document) if document else ""
        rows_by_attempt[row.attempt_id].append(
            CallRow(row, short_duration(row.seconds), sent, answered, command)
        )
    return rows_by_attempt


def _attempt_row(
    row: Attempt, delivery: Delivery, may: Mapping[str, bool], now: datetime, missing: PayloadAbsence
) -> AttemptRow:
    # The clock of the process that began it may be ahead of this one's.
    seconds = max(0.0, ((row.ended_at or now) - row.started_at).total_seconds())
    took, system = short_duration(seconds), system_name(delivery, row.code)
    return AttemptRow(
        row=row,
        seconds=seconds,
        words=describe_code(row.code, system),
        system=system,
        took=took if row.ended_at else _("%(duration)s so far") % {"duration": took},
        change=change_table(row, is_masked=not may["revealed"]) if may["contents"] else None,
        messages=answer_messages(row, is_masked=not may["revealed"]) if may["contents"] else (),
        missing=missing.reason_text(row.started_at)
        if may["contents"] and row.action and row.findings_id is None
        else "",
        found_nothing=row.outcome == AttemptOutcome.UNCHANGED
        and not row.record_id
        # Otherwise the entity was there, and its data did not decide whether the route is for it.
        and not stored_finding(row, Finding.CHANGE).get("scope"),
    )
