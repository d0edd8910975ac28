"""References: the ids of other entities' records in the same target, asked for by the expressions of a mapping. Pure.

A mapping is run once to collect the references, and once more with the answers. Answers come from links only.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from config_schema.expressions.expression_functions import UnexpectedValueType

# Of one entity: each is a row while a delivery waits for it.
MAX_REFERENCES = 1_000
# Runs of a mapping whose answers lead to further references.
MAX_ROUNDS = 3


class Reference(NamedTuple):
    """Another entity of the same identity service."""

    entity_type: str
    entity_id: str


class LinkedEntity(NamedTuple):
    """An entity that is linked to a record, of any identity service."""

    identity_id: int
    entity_type: str
    entity_id: str


FindRecords = Callable[[frozenset[Reference]], Mapping[Reference, str]]
"""Returns the record ids of those entities that have a record in the target."""


class WhenMissing(StrEnum):
    """The action on a field once the wait for a missing record is over."""

    FAIL = "fail"
    LEAVE_OUT = "leave_out"


class ReferenceLimit(Exception):
    """An entity has more references than a mapping resolves."""


class ReferenceLookup:
    """The references of one run of a mapping.

    `records` has the known answers; None for an entity without a record. `unknown` has the references without an answer
    yet; in the meantime, the name of the reference stands in for the record id. `missing` has the entities without a
    record, by field.
    """

    __slots__ = ("_asked", "_records", "field", "missing", "unknown")

    def __init__(self, records: Mapping[Reference, str | None] | None = None) -> None:
        self._records = records or {}
        self._asked: set[Reference] = set()
        self.field = ""
        self.missing: dict[str, set[Reference]] = {}
        self.unknown: set[Reference] = set()

    @property
    def linked(self) -> dict[Reference, str]:
        """Return the record ids of the entities that were asked for and have a record."""
        records = ((reference, self._records.get(reference)) for reference in self._asked)
        return {reference: record_id for reference, record_id in records if record_id is not None}

    def find_linked(self, entity_type: str, value: Any) -> Any:
        """Return the record id of an entity, or those of a list of entities; missing ones are None, or left out.

        Raises UnexpectedValueType if a value is not an id, and ReferenceLimit.
        """
        if not isinstance(value, list):
            return self._find_one(entity_type, value)
        found = (self._find_one(entity_type, one) for one in value)
        return [record_id for record_id in found if record_id is not None]

    def _find_one(self, entity_type: str, value: Any) -> str | None:
        if value is None or value == "":
            return None
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise UnexpectedValueType("linked() takes the id of an entity, or a list of ids")
        reference = Reference(entity_type, str(value))
        self._asked.add(reference)
        if len(self._asked) > MAX_REFERENCES:
            raise ReferenceLimit
        if reference not in self._records:
            self.unknown.add(reference)
            return f"{entity_type} {reference.entity_id}"
        record_id = self._records[reference]
        if record_id is None:
            self.missing.setdefault(self.field, set()).add(reference)
        return record_id
