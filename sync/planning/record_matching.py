"""Hop 5, the second half: which record of the commercial system belongs to the entity.

By link, then by external id, then by a value that the change overwrote; by the new value only when about to create.
E-mail is what changes: it must never be the only key. Two people may share one: a record that bears the external id of
another entity, or bears none and is linked to another, is not this one's, whatever else it has.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sync.connectors.contracts.types import CommercialConnector, Record
from sync.connectors.values.json_answers import as_text
from sync.planning.mapping import ParsedMapping


class AmbiguousMatch(Exception):
    """Two records match: a person has to decide."""


@dataclass(frozen=True, slots=True)
class Sought:
    """What is known about the record that is looked for. `is_anothers`: whether the record of this id is linked to
    another entity, asked where the record itself does not say whose it is.
    """

    entity_type: str
    entity_id: str
    linked_id: str | None
    previous: tuple[tuple[str, Any], ...]
    is_anothers: Callable[[str], bool]


def find_record(commercial: CommercialConnector, mapping: ParsedMapping, sought: Sought) -> Record | None:
    """The entity's record, or None. `AmbiguousMatch` where a search found two; `ConnectorError` as it comes."""
    if sought.linked_id is not None:
        linked = commercial.get(sought.entity_type, sought.linked_id)
        if linked is not None:
            return linked
    return _search(commercial, mapping, sought, _keys(mapping, sought))


def find_by_new_value(
    commercial: CommercialConnector, mapping: ParsedMapping, sought: Sought, wanted: dict[str, Any]
) -> Record | None:
    """A record that already has the new values, asked for only when one is about to be created."""
    keys = [(name, wanted.get(name)) for name in mapping.match.new]
    return _search(commercial, mapping, sought, keys)


def _keys(mapping: ParsedMapping, sought: Sought) -> Iterable[tuple[str, Any]]:
    if mapping.match.external_id is not None:
        yield mapping.match.external_id, sought.entity_id
    yield from sought.previous


def _search(
    commercial: CommercialConnector,
    mapping: ParsedMapping,
    sought: Sought,
    keys: Iterable[tuple[str, Any]],
) -> Record | None:
    external_id = mapping.match.external_id
    for name, value in keys:
        if value in (None, ""):
            continue
        hits = commercial.search(sought.entity_type, name, str(value))
        found = {
            hit.id: hit for hit in hits if name == external_id or not _is_anothers(hit, external_id, sought)
        }
        if len(found) > 1:
            raise AmbiguousMatch(name)
        if found:
            return next(iter(found.values()))
    return None


def _is_anothers(record: Record, external_id: str | None, sought: Sought) -> bool:
    borne = None if external_id is None else as_text(record.fields.get(external_id))
    return borne != sought.entity_id if borne else sought.is_anothers(record.id)
