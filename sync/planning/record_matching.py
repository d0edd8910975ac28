"""Find the record of the target that belongs to an entity.

The order is: link, external id, a value that the change overwrote; the new value only before creating a
record. E-mail addresses change, so they must never be the only key. Two people may share one: a record with
the external id of another entity, or with none and a link to another entity, never matches.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sync.connectors.contracts.types import Record, TargetConnector
from sync.connectors.values.json_responses import as_text
from sync.planning.mapping import ParsedMapping


class AmbiguousMatch(Exception):
    """Several records match: a person has to decide."""


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
    """Return the entity's record, or None. Raises AmbiguousMatch if a search finds two, and ConnectorError."""
    if query.linked_record_id is not None:
        linked = target.get_record(query.entity_type, query.linked_record_id)
        if linked is not None:
            return linked
    # Without a link, or if the linked record was deleted.
    return _search_one_record(target, mapping, query, _search_keys(mapping, query))


def find_record_by_new_value(
    target: TargetConnector, mapping: ParsedMapping, query: RecordQuery, wanted: dict[str, Any]
) -> Record | None:
    """Return a record that already has the new values. Called only before creating a record."""
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
        # An empty value would match records that have none.
        if value in (None, ""):
            continue
        hits = target.search_records(query.entity_type, name, str(value))
        # A hit by external id belongs to this entity; any other hit may belong to another one.
        records_by_id = {
            hit.id: hit
            for hit in hits
            if name == external_id or not _belongs_to_other(hit, external_id, query)
        }
        if len(records_by_id) > 1:
            raise AmbiguousMatch(name)
        if records_by_id:
            return next(iter(records_by_id.values()))
    return None


def _belongs_to_other(record: Record, external_id: str | None, query: RecordQuery) -> bool:
    borne = None if external_id is None else as_text(record.fields.get(external_id))
    return borne != query.entity_id if borne else query.is_linked_to_other(record.id)
