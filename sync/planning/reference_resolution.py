"""Map an entity whose record refers to the records of other entities. Pure: the caller passes a function that finds
linked records.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sync.planning.first_values import NOTHING_UNSEEN, UnseenPaths
from sync.planning.mapping import EntityNotMappable, ParsedMapping, ReferenceMissing
from sync.planning.references import MAX_ROUNDS, FindRecords, Reference, ReferenceLookup, WhenMissing


class MappedFields(NamedTuple):
    """The fields of a record.

    `left_out` has the referenced entities that have no record, `linked` the record ids of the other ones. `unseen`:
    what the entity says of fields that had no value yet.
    """

    fields: dict[str, Any]
    left_out: frozenset[Reference] = frozenset()
    linked: Mapping[Reference, str] = {}
    unseen: UnseenPaths = NOTHING_UNSEEN


def map_with_references(
    mapping: ParsedMapping,
    entity: Mapping[str, Any],
    webhook: Mapping[str, Any],
    find_records: FindRecords,
    *,
    is_partial: bool = False,
    is_wait_over: bool = False,
    leaves_out_now: bool = False,
) -> MappedFields:
    """Map an entity, with the record ids of the entities that it refers to.

    1. Map, and collect the references without an answer.
    2. Ask for their records, all at once; repeat while answers lead to further references.
    3. Raise ReferenceMissing if a record is missing: for any field before the wait is over, and afterwards for those
       that fail without it. Other fields leave out what is missing.

    `leaves_out_now`: only fields that fail without a record still wait. Raises EntityNotMappable as well.
    """
    apply_mapping = mapping.map_partial_entity if is_partial else mapping.map_entity
    if not mapping.reference_types:
        return MappedFields(apply_mapping(entity, webhook))
    records: dict[Reference, str | None] = {}
    for _round in range(MAX_ROUNDS):
        lookup = ReferenceLookup(records)
        fields = apply_mapping(entity, webhook, lookup)
        if not lookup.unknown:
            break
        unknown = frozenset(lookup.unknown)
        records = {**records, **dict.fromkeys(unknown), **find_records(unknown)}
    else:
        raise EntityNotMappable(
            lookup.field, "its references depend on other references, more than two levels deep"
        )
    return _decide_missing(mapping, fields, lookup, is_wait_over, leaves_out_now or is_wait_over)


def _decide_missing(
    mapping: ParsedMapping,
    mapped_fields: dict[str, Any],
    lookup: ReferenceLookup,
    is_wait_over: bool,
    may_leave_out: bool,
) -> MappedFields:
    failing = [
        name
        for name in lookup.missing
        if not may_leave_out or mapping.fields[name].when_missing is WhenMissing.FAIL
    ]
    missing = frozenset(reference for references in lookup.missing.values() for reference in references)
    if failing:
        raise ReferenceMissing(failing[0], missing, is_final=is_wait_over)
    # Of one value, the field is left out; a list lacks the members already.
    fields = {
        name: value
        for name, value in mapped_fields.items()
        if value is not None or name not in lookup.missing
    }
    return MappedFields(fields, missing, lookup.linked)
