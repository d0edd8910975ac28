"""Hop 5, the second half: which record of the commercial system belongs to the entity.

By link, then by external id, then by a value that the change overwrote; by the new value only when about to create.
E-mail is what changes: it must never be the only key.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sync.connectors.records import CommercialConnector, Record
from sync.mapping import ParsedMapping


class AmbiguousMatch(Exception):
    """Two records match: a person has to decide."""


@dataclass(frozen=True, slots=True)
class Sought:
    """What is known about the record that is looked for."""

    entity_type: str
    entity_id: str
    linked_id: str | None
    previous: tuple[tuple[str, Any], ...]


def find_record(commercial: CommercialConnector, mapping: ParsedMapping, sought: Sought) -> Record | None:
    """The entity's record, or None. `AmbiguousMatch` where a search found two; `ConnectorError` as it comes."""
    if sought.linked_id is not None:
        linked = commercial.get(sought.entity_type, sought.linked_id)
        if linked is not None:
            return linked
    return _search(commercial, sought.entity_type, _keys(mapping, sought))


def find_by_new_value(
    commercial: CommercialConnector, mapping: ParsedMapping, entity_type: str, wanted: dict[str, Any]
) -> Record | None:
    """A record that already has the new values, asked for only when one is about to be created."""
    keys = [(name, wanted.get(name)) for name in mapping.match.new]
    return _search(commercial, entity_type, keys)


def _keys(mapping: ParsedMapping, sought: Sought) -> Iterable[tuple[str, Any]]:
    if mapping.match.external_id is not None:
        yield mapping.match.external_id, sought.entity_id
    yield from sought.previous


def _search(
    commercial: CommercialConnector, entity_type: str, keys: Iterable[tuple[str, Any]]
) -> Record | None:
    for name, value in keys:
        if value in (None, ""):
            continue
        found = {record.id: record for record in commercial.search(entity_type, name, str(value))}
        if len(found) > 1:
            raise AmbiguousMatch(name)
        if found:
            return next(iter(found.values()))
    return None
