"""Map an entity whose record refers to the records of other entities. Pure: the links are asked for by a function."""

from collections.abc import Mapping
from typing import Any

from sync.planning.mapping import EntityNotMappable, ParsedMapping, ReferenceMissing, gettext_noop
from sync.planning.references import MAX_ROUNDS, FindRecords, Reference, ReferenceLookup, WhenMissing


def map_with_references(
    mapping: ParsedMapping,
    entity: Mapping[str, Any],
    webhook: Mapping[str, Any],
    find_records: FindRecords,
    *,
    is_partial: bool = False,
    is_wait_over: bool = False,
) -> dict[str, Any]:
    """Map an entity, with the record ids of the entities that it refers to.

    1. Map, and collect the references without an answer.
    2. Ask for their records, all at once; repeat while answers lead to further references.
    3. Raise ReferenceMissing if a record is missing: for any field before the wait is over, and afterwards for those
       that fail without it. Other fields leave out what is missing.

    Raises EntityNotMappable besides.
    """
    apply_mapping = mapping.map_partial_entity if is_partial else mapping.map_entity
    if not mapping.reference_types:
        return apply_mapping(entity, webhook)
    records: dict[Reference, str | None] = {}
    for _round in range(MAX_ROUNDS):
        lookup = ReferenceLookup(records)
        made = apply_mapping(entity, webhook, lookup)
        if not lookup.unknown:
            break
        asked = frozenset(lookup.unknown)
        records = {**records, **dict.fromkeys(asked), **find_records(asked)}
    else:
        raise EntityNotMappable(
            lookup.field, gettext_noop("its references depend on other references, more than two deep")
        )
    return _decide_missing(mapping, made, lookup, is_wait_over)


def _decide_missing(
    mapping: ParsedMapping, made: dict[str, Any], lookup: ReferenceLookup, is_wait_over: bool
) -> dict[str, Any]:
    failing = [
        name
        for name in lookup.missing
        if not is_wait_over or mapping.fields[name].when_missing is WhenMissing.FAIL
    ]
    if failing:
        missing = frozenset(reference for found in lookup.missing.values() for reference in found)
        raise ReferenceMissing(failing[0], missing, is_final=is_wait_over)
    # Of one value, the field is left out; a list lacks the members already.
    return {name: value for name, value in made.items() if value is not None or name not in lookup.missing}
