"""Try a declaration out on a sample, with the code that deliveries use. Calls no system and saves nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from connectors.contracts.types import Record
from console.base.json_text import JsonTextError, line_number_of, parse_json_text
from console.payloads.content import format_value, stored_finding
from console.settings.mappings.table.samples import Sample
from sync.mappings.past_entities import PastEvent
from sync.models import SUCCESSFUL_OUTCOMES, Finding
from sync.planning.mapping import EntityNotMappable, MappingOverBudget, ParsedMapping
from sync.planning.mapping_comparison import MappingInput
from sync.planning.mapping_declaration import InvalidMapping, parse_mapping
from sync.planning.reference_resolution import map_with_references
from sync.references.linked_records import record_finder_of

# Fields that fail are left out one by one, to show what the others give.
_MAX_FAILING_FIELDS = 10


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
    values, and empty without a stored event. `problems`: why fields have no value, by field; the first of them is the
    `problem`, because of which the record is not written. If `is_masked`, nothing was evaluated, because the contents
    of the event are not revealed.
    """

    problem: TrialProblem | None = None
    fields: tuple[TrialField, ...] = ()
    action: str = ""
    is_masked: bool = False
    problems: Mapping[str, str] = field(default_factory=dict)


def parse_declaration(text: str) -> Any:
    """Parse and validate a declaration. Raises JsonTextError with the line of the error."""
    declaration = parse_json_text(text)
    try:
        parse_mapping(declaration)
    except InvalidMapping as error:
        raise JsonTextError(str(error), line_number_of(text, error.place)) from error
    return declaration


def run_trial(mapping: ParsedMapping, sample: Sample) -> MappingTrial | None:
    """Map a sample with a declaration. None if there is no sample."""
    if sample.is_masked:
        return MappingTrial(is_masked=True)
    if sample.problem:
        return MappingTrial(TrialProblem(sample.problem))
    if sample.mapping_input is None:
        return None
    given, past_event = sample.mapping_input, sample.past_event
    if past_event is None:
        made, problems = _map_tolerantly(mapping, lambda part: part.map_entity(given.entity, given.webhook))
    else:
        event = past_event
        made, problems = _map_tolerantly(mapping, lambda part: _map_past(part, event, given))
    trial = MappingTrial(
        problem=next((TrialProblem(f"{name}: {text}") for name, text in problems.items()), None),
        problems=problems,
    )
    if past_event is not None and not problems:
        return _compare_with_last_known(mapping, past_event, made)
    return replace(
        trial,
        fields=tuple(TrialField(name, format_value(value), "", "plain") for name, value in made.items()),
    )


def _map_tolerantly(
    mapping: ParsedMapping, compute: Callable[[ParsedMapping], dict[str, Any]]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the fields of the record, and why others have no value: at most _MAX_FAILING_FIELDS are left out."""
    problems: dict[str, str] = {}
    while mapping.fields:
        try:
            return compute(mapping), problems
        except EntityNotMappable as error:
            problems[error.field] = f"{error.reason}."
            is_hopeless = isinstance(error, MappingOverBudget) or error.field not in mapping.fields
            if is_hopeless or len(problems) >= _MAX_FAILING_FIELDS:
                break
            kept = {name: rule for name, rule in mapping.fields.items() if name != error.field}
            mapping = replace(mapping, fields=kept)
    return {}, problems


def _compare_with_last_known(
    mapping: ParsedMapping, past_event: PastEvent, made: Mapping[str, Any]
) -> MappingTrial:
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
