"""Hop 5, the second half: which record of the commercial system belongs to the entity.

By link, then by external id, then by a value that the change overwrote; by the new value only when about to create.
E-mail is what changes: it must never be the only key. Two people may share one: a record that bears the external id of
another entity, or bears none and is linked to another, is not this one's, whatever else it has.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sync.connectors.contracts.types import Record, TargetConnector
from sync.connectors.values.json_responses import as_text
from sync.planning.mapping import ParsedMapping


class AmbiguousMatch(Exception):
    """Two records match: a person has to decide."""


@dataclass(frozen=True, slots=True)
class RecordQuery:
    """Facts about the record to find. `is_linked_to_other(record_id)` is True if that record is linked to another
    entity; it is called only if the record itself does not name its entity.
    """

    entity_type: str
    entity_id: str
    linked_record_id: str | None
    previous_values: tuple[tuple[str, Any], ...]
    is_linked_to_other: Callable[[str], bool]


def find_record(target: TargetConnector, mapping: ParsedMapping, query: RecordQuery) -> Record | None:
    """The entity's record, or None. `AmbiguousMatch` where a search found two; `ConnectorError` as it comes."""
    if query.linked_record_id is not None:
        linked = target.get_record(query.entity_type, query.linked_record_id)
        if linked is not None:
            return linked
    return _search_one_record(target, mapping, query, _search_keys(mapping, query))


def find_record_by_new_value(
    target: TargetConnector, mapping: ParsedMapping, query: RecordQuery, wanted: dict[str, Any]
) -> Record | None:
    """A record that already has the new values, asked for only when one is about to be created."""
    keys = [(name, wanted.get(name)) for name in mapping.match.new]
    return _search_one_record(target, mapping, query, keys)


def _search_keys(mapping: ParsedMapping, query: RecordQuery) -> Iterable[tuple[str, Any]]:
    if mapping.match.external_id is not None:
        yield mapping.match.external_id, query.entity_id
    yield from query.previous_values


def _search_one_record(
    target: TargetConnector,
    mapping: ParsedMapping,
    query: RecordQuery,
    keys: Iterable[tuple[str, Any]],
) -> Record | None:
    external_id = mapping.match.external_id
    for name, value in keys:
        if value in (None, ""):
            continue
        hits = target.search_records(query.entity_type, name, str(value))
        found = {
            hit.id: hit
            for hit in hits
            if name == external_id or not _belongs_to_other(hit, external_id, query)
        }
        if len(found) > 1:
            raise AmbiguousMatch(name)
        if found:
            return next(iter(found.values()))
    return None


def _belongs_to_other(record: Record, external_id: str | None, query: RecordQuery) -> bool:
    borne = None if external_id is None else as_text(record.fields.get(external_id))
    return borne != query.entity_id if borne else query.is_linked_to_other(record.id)
