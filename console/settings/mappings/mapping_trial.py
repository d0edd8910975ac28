"""Trying a declaration out, on an event that was or on an entity that somebody pasted: the code that deliveries use,
nobody is called, and nothing is saved.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.utils.translation import gettext as _

from console.base.forms import parse_pk
from console.payloads.content import format_value, json_document
from console.settings.mappings.backtest_words import untestable_text
from console.settings.mappings.declaration_json import DeclarationError, line_number_of, parse_json_text
from sync.connectors.contracts.types import Record
from sync.mappings.past_entities import Kept, kept_chunks, kept_of
from sync.models import Outcome, Route
from sync.planning.change import plan_existing_entity
from sync.planning.mapping import EntityNotMappable, InvalidMapping, ParsedMapping, parse_mapping
from sync.planning.mapping_comparison import MappingInput

HIDDEN_VALUE = "•••"
MAX_SAMPLE_EVENTS = 20
_SEARCHED_EVENTS = 200
_APPLIED_OUTCOMES = (Outcome.SUCCEEDED, Outcome.UNCHANGED)


@dataclass(frozen=True, slots=True)
class TrialProblem:
    """Why nothing comes out; `line` of the declaration, 0 where it is not about one."""

    sentence: str
    line: int = 0


@dataclass(frozen=True, slots=True)
class TrialField:
    """One field of the record. `kind`: same, changed, unknown (nothing is known of what stands there) or plain."""

    name: str
    value: str
    before: str
    kind: str


@dataclass(frozen=True, slots=True)
class MappingTrial:
    """What came out. `action` is what the planner would do beside the last known record, `unknown` where that hangs on
    fields of which nothing is known; empty for a pasted entity.
    """

    problem: TrialProblem | None = None
    fields: tuple[TrialField, ...] = ()
    action: str = ""


@dataclass(frozen=True, slots=True)
class TrialInput:
    """What stands in the form: texts, and the key of an event that was chosen."""

    declaration: str
    event: str = ""
    entity: str = ""
    webhook: str = ""


def parse_declaration(text: str) -> Any:
    """The declaration that a text is; `DeclarationError` with the line of what is wrong in it."""
    declaration = parse_json_text(text)
    try:
        parse_mapping(declaration)
    except InvalidMapping as error:
        raise DeclarationError(str(error), line_number_of(text, error.place)) from error
    return declaration


def run_trial(given: TrialInput, routes: Sequence[Route], *, may_see: bool, recent: Sequence[Kept] = ()) -> MappingTrial:
    """What the declaration makes of what was chosen. Values of an event are withheld from whoever may not see them;
    one that is among `known` is not read again.
    """
    try:
        mapping = parse_mapping(parse_declaration(given.declaration))
    except DeclarationError as error:
        return MappingTrial(TrialProblem(error.sentence, error.line))
    try:
        if not given.event:
            return _map_pasted(mapping, _parse_pasted(given))
        found = next((each for each in recent if str(each.event.pk) == given.event), None)
        kept = found or _find_event(given.event, routes)
        return _compare_with_last_known(mapping, kept, may_see=may_see)
    except DeclarationError as error:
        return MappingTrial(TrialProblem(error.sentence))
    except EntityNotMappable as error:
        return MappingTrial(TrialProblem(f"{error.field}: {_(error.reason)}."))


def list_sample_events(routes: Sequence[Route]) -> list[Kept]:
    """The newest events on which something can be tried out."""
    chunks = islice(kept_chunks(routes, most=_SEARCHED_EVENTS), 2)
    return [each for chunk in chunks for each in chunk if each.given is not None][:MAX_SAMPLE_EVENTS]


def _find_event(key: str, routes: Sequence[Route]) -> Kept:
    pk = parse_pk(key)
    found = [] if pk is None else kept_of([pk], routes)
    if not found:
        raise DeclarationError(_("This event did not go over a route of this mapping."))
    if found[0].given is None:
        raise DeclarationError(untestable_text(str(found[0].reason)))
    return found[0]


def _parse_pasted(given: TrialInput) -> MappingInput:
    return MappingInput(
        _parse_object(_("The entity"), given.entity),
        _parse_object(_("The webhook"), given.webhook) if given.webhook else {},
    )


def _parse_object(what: str, text: str) -> dict[str, Any]:
    try:
        value = parse_json_text(text)
    except DeclarationError as error:
        place = _(", line %(line)s") % {"line": error.line} if error.line else ""
        raise DeclarationError(f"{what}{place}: {error.sentence}") from error
    if not isinstance(value, dict):
        raise DeclarationError(_("%(what)s: an object is expected.") % {"what": what})
    return value


def _map_pasted(mapping: ParsedMapping, given: MappingInput) -> MappingTrial:
    made = mapping.map_entity(given.entity, given.webhook)
    return MappingTrial(
        fields=tuple(TrialField(name, format_value(value), "", "plain") for name, value in made.items())
    )


def _compare_with_last_known(mapping: ParsedMapping, kept: Kept, *, may_see: bool) -> MappingTrial:
    assert kept.given is not None
    apply_mapping = mapping.map_partial_entity if kept.given.is_partial else mapping.map_entity
    made = apply_mapping(kept.given.entity, kept.given.webhook)
    known, record_id = _last_known_record(kept)
    record = None if known is None else Record(record_id, known)
    change = plan_existing_entity(made, record, mapping.caseless_fields)
    changing = {each.name for each in change.fields}
    fields = []
    for name, value in made.items():
        is_open = may_see or mapping.fields[name].path is None
        is_known = known is not None and name in known
        kind = "same" if name not in changing else "changed" if is_known or known is None else "unknown"
        before = known.get(name) if known and kind == "changed" else None
        fields.append(TrialField(name, _visible_value(value, is_open), _visible_value(before, may_see), kind))
    kinds = {each.kind for each in fields}
    action = "unknown" if "unknown" in kinds and "changed" not in kinds else str(change.action)
    return MappingTrial(fields=tuple(fields), action=action)


def _last_known_record(kept: Kept) -> tuple[Mapping[str, Any] | None, str]:
    """The fields of the record as the attempt left them, as far as it looked at them; None: there was no record."""
    attempt = kept.attempt
    document = json_document(attempt.change) if attempt is not None and attempt.change_id else {}
    if attempt is None or not document:
        return {}, attempt.record_id if attempt else ""
    is_applied = attempt.outcome in _APPLIED_OUTCOMES
    if document["action"] == "create" and not is_applied:
        return None, ""
    side = "after" if is_applied else "before"
    changed = {each["name"]: each[side] for each in document["fields"]}
    return {**document["same"], **changed}, attempt.record_id


def _visible_value(value: Any, is_open: bool) -> str:
    """The value as text; of one that is withheld only whether there is any."""
    return format_value(value) if is_open or value is None else HIDDEN_VALUE


def indent_json(value: Any) -> str:
    """JSON laid out for a form."""
    return json.dumps(value, indent=2, ensure_ascii=False)
