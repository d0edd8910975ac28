"""Evaluate a version of a mapping over stored entities before it is activated: which fields get no value?

Reads stored data only, and tells no values: only the names of fields and the number of entities.
"""

import time
from dataclasses import dataclass

from sync.mappings.past_entities import past_event_chunks
from sync.models import Mapping, MappingVersion
from sync.planning.first_values import EMPTY_VALUES, find_unseen_fields, has_same_path, look_up_unseen
from sync.planning.mapping import ParsedMapping
from sync.planning.mapping_comparison import MappingInput, MappingResult, run_mapping
from sync.planning.mapping_declaration import InvalidMapping, parse_mapping

MAX_ENTITIES = 50
# Many events may be about few entities.
_MAX_EVENTS = 1_000
_MAX_VERSIONS = 50
# Until then, the entities that were evaluated count.
_MAX_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class ActivationCheck:
    """What a version makes of the newest stored entities of its routes.

    `without_value`: fields that get a value from none of them. `losing_value`: other fields that get none from an
    entity from which the active version gets one. `found`: fields whose path finds a value.
    """

    entity_count: int = 0
    without_value: tuple[str, ...] = ()
    losing_value: tuple[str, ...] = ()
    found: frozenset[str] = frozenset()

    @property
    def fields_to_confirm(self) -> tuple[str, ...]:
        """Return the fields that a person has to confirm by name."""
        return (*self.without_value, *self.losing_value)


def check_activation(mapping: Mapping, current: ParsedMapping | None, new: ParsedMapping) -> ActivationCheck:
    """Evaluate a version over the newest 50 stored entities of the routes of its mapping, and compare it with the
    active one. Reads at most 1,000 events.
    """
    with_value, losing, failing, found = set[str](), set[str](), set[str](), set[str]()
    count = mapped_count = 0
    until = time.monotonic() + _MAX_SECONDS
    for mapping_input in _newest_inputs(mapping):
        if time.monotonic() > until:
            break
        count += 1
        result = run_mapping(new, mapping_input)
        if result.fields is None:
            failing.add(result.failing_field)
            continue
        mapped_count += 1
        values = _names_with_value(result)
        with_value |= values
        losing |= _names_with_value(run_mapping(current, mapping_input)) - values
        unseen = find_unseen_fields(new, ())
        found |= look_up_unseen(new, unseen, mapping_input.entity, mapping_input.webhook).found
    names = {name for name, rule in new.fields.items() if rule.path is not None}
    # A field that fails all entities, because it is required, hides the others.
    without = ((names if mapped_count else set()) | (names & failing)) - with_value
    lost = (names & losing) - without
    return ActivationCheck(count, tuple(sorted(without)), tuple(sorted(lost)), frozenset(found))


def copy_fields_with_value(mapping: Mapping, new: ParsedMapping) -> frozenset[str]:
    """Return the fields that have had a value under an earlier version that reads them from the same path."""
    copied = set[str]()
    for version in mapping.versions.order_by("-number")[:_MAX_VERSIONS]:
        earlier = parse_version(version)
        if earlier is not None:
            copied |= {name for name in version.fields_with_value if has_same_path(new, earlier, name)}
    return frozenset(copied)


def parse_version(version: MappingVersion | None) -> ParsedMapping | None:
    """Return a version parsed; None if there is none, or if it cannot be read."""
    try:
        return None if version is None else parse_mapping(version.declaration)
    except InvalidMapping:
        # Somebody has changed it by SQL.
        return None


def _newest_inputs(mapping: Mapping) -> list[MappingInput]:
    """Return the newest stored state of each of the newest 50 entities of the routes of a mapping."""
    routes = list(mapping.routes.select_related("source", "identity", "target"))
    newest: dict[tuple[int, str, str], MappingInput] = {}
    for chunk in past_event_chunks(routes, max_events=_MAX_EVENTS):
        for past_event in chunk:
            event = past_event.event
            if past_event.mapping_input is not None:
                subject = (event.source_id, event.entity_type, event.entity_id)
                newest.setdefault(subject, past_event.mapping_input)
        if len(newest) >= MAX_ENTITIES:
            break
    return list(newest.values())[:MAX_ENTITIES]


def _names_with_value(result: MappingResult) -> set[str]:
    return {name for name, value in (result.fields or {}).items() if value not in EMPTY_VALUES}
