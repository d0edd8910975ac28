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
from console.settings.mappings.backtest_words import untestable
from console.settings.mappings.declaration_json import Misread, line_of, read
from sync.connectors.contracts.types import Record
from sync.mappings.past_entities import Kept, kept_chunks, kept_of
from sync.models import Outcome, Route
from sync.planning.change import plan_existing_entity
from sync.planning.mapping import EntityNotMappable, InvalidMapping, ParsedMapping, parse_mapping
from sync.planning.mapping_comparison import MappingInput

WITHHELD = "•••"
MOST_CHOICES = 20
_LOOKED = 200
_APPLIED = (Outcome.SUCCEEDED, Outcome.UNCHANGED)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why nothing comes out; `line` of the declaration, 0 where it is not about one."""

    sentence: str
    line: int = 0


@dataclass(frozen=True, slots=True)
class FieldTried:
    """One field of the record. `kind`: same, changed, unknown (nothing is known of what stands there) or plain."""

    name: str
    value: str
    before: str
    kind: str


@dataclass(frozen=True, slots=True)
class Trial:
    """What came out. `action` is what the planner would do beside the last known record, `unknown` where that hangs on
    fields of which nothing is known; empty for a pasted entity.
    """

    problem: Problem | None = None
    fields: tuple[FieldTried, ...] = ()
    action: str = ""


@dataclass(frozen=True, slots=True)
class Given:
    """What stands in the form: texts, and the key of an event that was chosen."""

    declaration: str
    event: str = ""
    entity: str = ""
    webhook: str = ""


def checked(text: str) -> Any:
    """The declaration that a text is; `Misread` with the line of what is wrong in it."""
    declaration = read(text)
    try:
        parse_mapping(declaration)
    except InvalidMapping as error:
        raise Misread(str(error), line_of(text, error.place)) from error
    return declaration


def try_out(given: Given, routes: Sequence[Route], *, may_see: bool, known: Sequence[Kept] = ()) -> Trial:
    """What the declaration makes of what was chosen. Values of an event are withheld from whoever may not see them;
    one that is among `known` is not read again.
    """
    try:
        mapping = parse_mapping(checked(given.declaration))
    except Misread as error:
        return Trial(Problem(error.sentence, error.line))
    try:
        if not given.event:
            return _made(mapping, _pasted(given))
        found = next((each for each in known if str(each.event.pk) == given.event), None)
        kept = found or _event(given.event, routes)
        return _beside(mapping, kept, may_see=may_see)
    except Misread as error:
        return Trial(Problem(error.sentence))
    except EntityNotMappable as error:
        return Trial(Problem(f"{error.field}: {_(error.reason)}."))


def choices(routes: Sequence[Route]) -> list[Kept]:
    """The newest events on which something can be tried out."""
    chunks = islice(kept_chunks(routes, most=_LOOKED), 2)
    return [each for chunk in chunks for each in chunk if each.given is not None][:MOST_CHOICES]


def _event(key: str, routes: Sequence[Route]) -> Kept:
    pk = parse_pk(key)
    found = [] if pk is None else kept_of([pk], routes)
    if not found:
        raise Misread(_("This event did not go over a route of this mapping."))
    if found[0].given is None:
        raise Misread(untestable(str(found[0].reason)))
    return found[0]


def _pasted(given: Given) -> MappingInput:
    return MappingInput(
        _object(_("The entity"), given.entity),
        _object(_("The webhook"), given.webhook) if given.webhook else {},
    )


def _object(what: str, text: str) -> dict[str, Any]:
    try:
        value = read(text)
    except Misread as error:
        place = _(", line %(line)s") % {"line": error.line} if error.line else ""
        raise Misread(f"{what}{place}: {error.sentence}") from error
    if not isinstance(value, dict):
        raise Misread(_("%(what)s: an object is expected.") % {"what": what})
    return value


def _made(mapping: ParsedMapping, given: MappingInput) -> Trial:
    made = mapping.map_entity(given.entity, given.webhook)
    return Trial(
        fields=tuple(FieldTried(name, format_value(value), "", "plain") for name, value in made.items())
    )


def _beside(mapping: ParsedMapping, kept: Kept, *, may_see: bool) -> Trial:
    assert kept.given is not None
    apply_mapping = mapping.map_partial_entity if kept.given.is_partial else mapping.map_entity
    made = apply_mapping(kept.given.entity, kept.given.webhook)
    known, record_id = _last_known(kept)
    record = None if known is None else Record(record_id, known)
    change = plan_existing_entity(made, record, mapping.caseless_fields)
    changing = {each.name for each in change.fields}
    fields = []
    for name, value in made.items():
        is_open = may_see or mapping.fields[name].path is None
        is_known = known is not None and name in known
        kind = "same" if name not in changing else "changed" if is_known or known is None else "unknown"
        before = known.get(name) if known and kind == "changed" else None
        fields.append(FieldTried(name, _shown(value, is_open), _shown(before, may_see), kind))
    kinds = {each.kind for each in fields}
    action = "unknown" if "unknown" in kinds and "changed" not in kinds else str(change.action)
    return Trial(fields=tuple(fields), action=action)


def _last_known(kept: Kept) -> tuple[Mapping[str, Any] | None, str]:
    """The fields of the record as the attempt left them, as far as it looked at them; None: there was no record."""
    attempt = kept.attempt
    document = json_document(attempt.change) if attempt is not None and attempt.change_id else {}
    if attempt is None or not document:
        return {}, attempt.record_id if attempt else ""
    is_applied = attempt.outcome in _APPLIED
    if document["action"] == "create" and not is_applied:
        return None, ""
    side = "after" if is_applied else "before"
    changed = {each["name"]: each[side] for each in document["fields"]}
    return {**document["same"], **changed}, attempt.record_id


def _shown(value: Any, is_open: bool) -> str:
    """The value as text; of one that is withheld only whether there is any."""
    return format_value(value) if is_open or value is None else WITHHELD


def as_text(value: Any) -> str:
    """JSON laid out for a form."""
    return json.dumps(value, indent=2, ensure_ascii=False)
