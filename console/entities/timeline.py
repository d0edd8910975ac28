"""The events of an entity on its page: what each changed, what became of it, and the one thing to do about it."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import F, QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _

from audit.entries.readable_rows import parse_details
from audit.models import Entry
from config_schema.codes.codes import CodeTexts
from console.base.damaged_rows import load_rows
from console.payloads.content import stored_finding
from console.payloads.record_name import record_name
from console.ui.event_names import event_name
from console.ui.outcome_texts import advise_after_cause, explain_outcome, explain_pause, is_replayable
from sync.models import MATCH_HELD_CODE, Attempt, AttemptCause, Delivery, Finding, delivery_stream
from sync.operations.passed_causes import PassedCause, find_passed_causes
from webhooks.models import Event, State

NEEDS_ATTENTION = (State.DEAD, State.HELD)
_MAX_ENTRIES = 500
_MAX_FIELDS = 12
# The newest attempts in which the name is looked for.
_MAX_NAMED = 5


@dataclass(frozen=True, slots=True)
class ProblemButton:
    """The one step that helps with a problem."""

    label: str
    url: str


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """One event. `fields`: the names of the fields that its newest attempt sent, or was to send. `button`: for an event
    that needs attention, what this person can do about it.
    """

    row: Event
    words: CodeTexts
    is_replayed: bool
    fields: tuple[str, ...] = ()
    button: ProblemButton | None = None

    @property
    def name(self) -> str:
        return event_name(self.row.event_type, self.row.entity_type)

    @property
    def needs_attention(self) -> bool:
        return self.row.state in NEEDS_ATTENTION


def build_timeline(
    rows: Sequence[Event], may: Mapping[str, bool], on_hold: Container[int]
) -> tuple[TimelineRow, ...]:
    """Return a row for each event, by at most five statements. `on_hold`: events whose source or route is paused."""
    deliveries = _delivery_rows([row.pk for row in rows]) if may["deliveries"] and rows else []
    replayed = _replayed_events(deliveries) if may["attempts"] and deliveries else set()
    deciding = {(delivery.event_id, delivery.code): delivery for delivery in deliveries}
    passed = find_passed_causes(deliveries)
    fields = _fields_of_events(rows, deliveries) if may["attempts"] else {}
    return tuple(
        TimelineRow(
            row,
            explain_pause()
            if row.pk in on_hold
            else _timeline_words(row, deciding.get((row.pk, row.code)), passed),
            row.pk in replayed,
            fields.get(row.pk, ()),
            _problem_button(row, deciding.get((row.pk, row.code)), passed, may),
        )
        for row in rows
    )


def find_name(events: Sequence[Event]) -> str:
    """Return the name of the entity in what its newest attempts found; empty if none stored it. One statement."""
    attempts: QuerySet[Attempt] = Attempt.objects.filter(
        delivery__event__in=[event.pk for event in events], findings__isnull=False
    )
    newest = attempts.select_related("findings__subject").order_by("-pk")[:_MAX_NAMED]
    return next(filter(None, map(_name_of_attempt, newest)), "")


def find_names(events: Sequence[Event]) -> Mapping[int, str]:
    """Return the name of the entity of each event in what the newest attempt of its deliveries found, by the key of the
    event; none where no attempt stored it. One statement.
    """
    attempts = Attempt.objects.filter(
        delivery__event__in=[event.pk for event in events],
        number=F("delivery__last_number"),
        findings__isnull=False,
    )
    rows = attempts.select_related("findings__subject").annotate(event_key=F("delivery__event_id"))
    found = ((row.event_key, _name_of_attempt(row)) for row in rows.order_by("pk"))
    return {key: name for key, name in found if name}


def _name_of_attempt(attempt: Attempt) -> str:
    entity, change = stored_finding(attempt, Finding.ENTITY), stored_finding(attempt, Finding.CHANGE)
    changed = dict(map(_known_value, change.get("fields", ())))
    return record_name(entity) or record_name({**change.get("same", {}), **changed})


def _known_value(field: Mapping[str, Any]) -> tuple[str, Any]:
    return field["name"], field["before"] if field["after"] is None else field["after"]


def _problem_button(
    event: Event, delivery: Delivery | None, passed: Mapping[int, PassedCause], may: Mapping[str, bool]
) -> ProblemButton | None:
    if event.state not in NEEDS_ATTENTION:
        return None
    held = delivery if event.state == State.HELD else None
    if held is not None and held.code == MATCH_HELD_CODE:
        return ProblemButton(_("Choose the record…"), reverse("admin:sync_delivery_match", args=[held.pk]))
    if held is not None and held.route_id is not None:
        return ProblemButton(_("Review…"), reverse("admin:sync_delivery_route", args=[held.route_id]))
    can_help = is_replayable(event.code) or (delivery is not None and delivery.pk in passed)
    if may["replay"] and event.state == State.DEAD and can_help:
        return ProblemButton(_("Replay…"), reverse("admin:webhooks_event_replay", args=[event.pk]))
    return ProblemButton(_("Show the cause"), reverse("admin:webhooks_event_change", args=[event.pk]))


def _timeline_words(event: Event, delivery: Delivery | None, passed: Mapping[int, PassedCause]) -> CodeTexts:
    if delivery is None:
        return explain_outcome(event.state, event.code)
    words = explain_outcome(event.state, event.code, delivery.connection_of_code(delivery.code).name)
    return advise_after_cause(words, passed.get(delivery.pk)) if event.state == State.DEAD else words


def _delivery_rows(events: Sequence[int]) -> list[Delivery]:
    """Return event, route, outcome and the names of both connections of each delivery."""
    rows = Delivery.objects.filter(event__in=events).select_related("identity", "target")
    outcome = ("state", "code", "failure_key", "settled_at")
    return load_rows(rows.only("event", "route", *outcome, "identity__name", "target__name"))


def _replayed_events(deliveries: Iterable[Delivery]) -> set[int]:
    """Return the events of which a person requested an attempt."""
    owners = {delivery.pk: delivery.event_id for delivery in deliveries}
    tried = Attempt.objects.filter(delivery__in=list(owners), cause=AttemptCause.REPLAY)
    return {owners[key] for key in tried.values_list("delivery", flat=True)}


def _fields_of_events(rows: Sequence[Event], deliveries: Iterable[Delivery]) -> dict[int, tuple[str, ...]]:
    """Return the names of the fields that the newest attempt of each event sent, from the audit log, which has no
    values.
    """
    uuids = {row.pk: row.uuid for row in rows}
    streams = {
        delivery_stream(uuids[delivery.event_id], delivery.route_id): delivery.event_id
        for delivery in deliveries
        if delivery.route_id is not None
    }
    entries = Entry.objects.filter(stream__in=list(streams), action__startswith="attempt.")
    # In the order of the index on streams: the newest entry of each comes last, and so replaces the others.
    found = entries.order_by("stream", "stream_seq").values_list("stream", "details")[:_MAX_ENTRIES]
    names = {stream: parse_details(details).get("fields") for stream, details in found}
    return {
        streams[stream]: tuple(map(str, fields[:_MAX_FIELDS]))
        for stream, fields in names.items()
        if isinstance(fields, list)
    }
