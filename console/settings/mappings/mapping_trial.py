"""Try a declaration out on a past event or a pasted entity, with the code that deliveries use. Calls no system and
saves nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.utils.translation import gettext as _

from config_schema.translatable import error_sentence
from connectors.contracts.types import Record
from console.base.forms import parse_pk
from console.base.json_text import JsonTextError, line_number_of, parse_json_text
from console.payloads.content import format_value, stored_finding
from console.settings.untestable_texts import untestable_text
from console.ui.translation import translate_text
from sync.mappings.past_entities import PastEvent, past_event_chunks, read_past_events
from sync.models import SUCCESSFUL_OUTCOMES, Finding, Route
from sync.planning.mapping import EntityNotMappable, ParsedMapping
from sync.planning.mapping_comparison import MappingInput
from sync.planning.mapping_declaration import InvalidMapping, parse_mapping
from sync.planning.reference_resolution import map_with_references
from sync.references.linked_records import record_finder_of

MAX_SAMPLE_EVENTS = 20
_SEARCHED_EVENTS = 200


@dataclass(frozen=True, slots=True)
class TrialProblem:
    """The reason why there is no record. `line` is that of the declaration, 0 if the problem is not in it."""

    sentence: str
    line: int = 0


@dataclass(frozen=True, slots=True)
class TrialField:
    """One field of the record. `kind`: same, changed, unknown (its current value is not known) or plain (nothing
    to compare).
    """

    name: str
    value: str
    before: str
    kind: str


@dataclass(frozen=True, slots=True)
class MappingTrial:
    """The resulting record of a trial.

    `action` is what the planner would do to the last known record: `unknown` if that depends on fields with unknown
    values, and empty for a pasted entity. If `is_masked`, nothing was evaluated, because the contents of the event are
    not revealed.
    """

    problem: TrialProblem | None = None
    fields: tuple[TrialField, ...] = ()
    action: str = ""
    is_masked: bool = False


@dataclass(frozen=True, slots=True)
class TrialInput:
    """The posted form of the editor: texts, and the key of the selected event."""

    declaration: str
    event: str = ""
    entity: str = ""
    webhook: str = ""


def parse_declaration(text: str) -> Any:
    """Parse and validate a declaration. Raises JsonTextError with the line of the error."""
    declaration = parse_json_text(text)
    try:
        parse_mapping(declaration)
    except InvalidMapping as error:
        raise JsonTextError(
            translate_text(error_sentence(error)), line_number_of(text, error.place)
        ) from error
    return declaration


def run_trial(
    trial_input: TrialInput,
    routes: Sequence[Route],
    *,
    revealed: frozenset[int],
    recent: Sequence[PastEvent] = (),
) -> MappingTrial:
    """Map the selected event or the pasted entity with the declaration.

    Only `revealed` events are evaluated: even a result without values tells what they are, expression by expression.
    An event in `recent` is not read again.
    """
    try:
        mapping = parse_mapping(parse_declaration(trial_input.declaration))
    except JsonTextError as error:
        return MappingTrial(TrialProblem(error.sentence, error.line))
    try:
        if not trial_input.event:
            return _map_pasted(mapping, _parse_pasted(trial_input))
        if parse_pk(trial_input.event) not in revealed:
            return MappingTrial(is_masked=True)
        sample = next((event for event in recent if str(event.event.pk) == trial_input.event), None)
        past_event = sample or _find_event(trial_input.event, routes)
        return _compare_with_last_known(mapping, past_event)
    except JsonTextError as error:
        return MappingTrial(TrialProblem(error.sentence))
    except EntityNotMappable as error:
        return MappingTrial(TrialProblem(f"{error.field}: {_(error.reason)}."))


def list_sample_events(routes: Sequence[Route]) -> list[PastEvent]:
    """Return the newest events that a declaration can be tried out on."""
    chunks = islice(past_event_chunks(routes, max_events=_SEARCHED_EVENTS), 2)
    return [event for chunk in chunks for event in chunk if event.mapping_input is not None][
        :MAX_SAMPLE_EVENTS
    ]


def _find_event(key: str, routes: Sequence[Route]) -> PastEvent:
    pk = parse_pk(key)
    events = [] if pk is None else read_past_events([pk], routes)
    if not events:
        raise JsonTextError(_("No route of this mapping delivered this event."))
    if events[0].mapping_input is None:
        raise JsonTextError(untestable_text(str(events[0].reason)))
    return events[0]


def _parse_pasted(trial_input: TrialInput) -> MappingInput:
    return MappingInput(
        _parse_object(_("The entity"), trial_input.entity),
        _parse_object(_("The webhook"), trial_input.webhook) if trial_input.webhook else {},
    )


def _parse_object(what: str, text: str) -> dict[str, Any]:
    try:
        value = parse_json_text(text)
    except JsonTextError as error:
        place = _(", line %(line)s") % {"line": error.line} if error.line else ""
        raise JsonTextError(f"{what}{place}: {error.sentence}") from error
    if not isinstance(value, dict):
        raise JsonTextError(_("%(what)s: enter a JSON object.") % {"what": what})
    return value


def _map_pasted(mapping: ParsedMapping, mapping_input: MappingInput) -> MappingTrial:
    made = mapping.map_entity(mapping_input.entity, mapping_input.webhook)
    return MappingTrial(
        fields=tuple(TrialField(name, format_value(value), "", "plain") for name, value in made.items())
    )


def _compare_with_last_known(mapping: ParsedMapping, past_event: PastEvent) -> MappingTrial:
    assert past_event.mapping_input is not None
    made = _map_past(mapping, past_event, past_event.mapping_input)
    known, record_id = _last_known_record(past_event)
    record = None if known is None else Record(record_id, known)
    change = mapping.plan_record(made, record)
    changing = {field.name for field in change.fields}
    same = {name for name, _value in change.unchanged_fields}
    fields = []
    for name, value in made.items():
        is_known = known is not None and name in known
        if name not in changing:
            # A field that is not written now has nothing to compare.
            kind = "same" if name in same else "plain"
        else:
            kind = "changed" if is_known or known is None else "unknown"
        before = known.get(name) if known and kind == "changed" else None
        fields.append(TrialField(name, format_value(value), format_value(before), kind))
    kinds = {field.kind for field in fields}
    action = "unknown" if "unknown" in kinds and "changed" not in kinds else str(change.action)
    return MappingTrial(fields=tuple(fields), action=action)


def _map_past(mapping: ParsedMapping, past_event: PastEvent, given: MappingInput) -> dict[str, Any]:
    """Map the entity of an event as a delivery would now: a reference without a record is a problem.

    Reads the links of the entities that it refers to, if there are any.
    """
    if not mapping.reference_types or past_event.attempt is None:
        apply_mapping = mapping.map_partial_entity if given.is_partial else mapping.map_entity
        return apply_mapping(given.entity, given.webhook)
    delivery = past_event.attempt.delivery
    return map_with_references(
        mapping, given.entity, given.webhook, record_finder_of(delivery), is_partial=given.is_partial
    ).fields


def _last_known_record(past_event: PastEvent) -> tuple[Mapping[str, Any] | None, str]:
    """Return the record's fields as the attempt left them, as far as known, and its id. Fields are None if there was no
    record.
    """
    attempt = past_event.attempt
    document = stored_finding(attempt, Finding.CHANGE) if attempt is not None else {}
    # With candidates it is not known yet which record is the entity's.
    if attempt is None or not document or "candidates" in document:
        return {}, attempt.record_id if attempt else ""
    is_applied = attempt.outcome in SUCCESSFUL_OUTCOMES
    # Before the attempt there was no record, and the attempt did not create one.
    if document["action"] == "create" and not is_applied:
        return None, ""
    side = "after" if is_applied else "before"
    changed = {field["name"]: field[side] for field in document["fields"]}
    left_out = {field["name"]: field["before"] for field in document.get("left_out", ())}
    return {**document["same"], **changed, **left_out}, attempt.record_id
