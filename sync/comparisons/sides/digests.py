"""Digests by which a comparison sees that two records have equal values, without storing any value. Pure.

Two digests of a field are equal if planning would find nothing to write (`sync.planning.change.values_equal`). A record
has one digest of all fields that every entity has a value for, followed by one of each field that an entity may leave
as it is.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

from connectors.values.json_responses import as_text
from sync.planning.mapping import ParsedMapping
from sync.planning.mapping_rules import FieldRule, WhenAbsent

DIGEST_SIZE = 16
NO_NAMES: frozenset[str] = frozenset()
_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def find_webhook_fields(mapping: ParsedMapping) -> tuple[str, ...]:
    """Return the fields that no comparison compares because their value depends on a webhook, sorted."""
    return tuple(sorted(mapping.compared_fields & mapping.webhook_fields))


@dataclass(frozen=True)
class ComparedFields:
    """The fields of a mapping that a comparison compares: those that each entity has a value for, which may be null,
    and those that an entity may leave as they are. `key`: of the digests.
    """

    key: bytes
    steady: tuple[str, ...]
    optional: tuple[str, ...]
    caseless: frozenset[str]

    @classmethod
    def of_mapping(
        cls, mapping: ParsedMapping, key: bytes, *, unread: Collection[str], unseen: Collection[str]
    ) -> Self:
        """Return the compared fields of a mapping. `unread`: those that the target does not return; `unseen`: those
        that have had no value yet.
        """
        names = sorted(mapping.compared_fields - mapping.webhook_fields - frozenset(unread))
        optional = [name for name in names if name in unseen or _may_be_left_out(mapping.fields[name])]
        steady = [name for name in names if name not in optional]
        return cls(key, tuple(steady), tuple(optional), mapping.caseless_fields)

    def with_optional(self, names: Iterable[str]) -> Self:
        """Return the same fields with these optional ones, in this order: those of digests that were made before."""
        optional = tuple(names)
        steady = {*self.steady, *self.optional}.difference(optional)
        return replace(self, steady=tuple(sorted(steady)), optional=optional)

    def digest_record(self, fields: Mapping[str, Any], unkept: Collection[str] = NO_NAMES) -> bytes:
        """Return the digests of a record or of a mapped entity: a field that it lacks is null. `unkept`: the fields
        that the target does not keep, which are left out on both sides.
        """
        steady = {name: self._canonical_value(name, fields) for name in self.steady if name not in unkept}
        digests = [self._digest(steady)]
        digests += [self._digest([name, self._canonical_value(name, fields)]) for name in self.optional]
        return b"".join(digests)

    def is_equal(self, record: bytes, fields: Mapping[str, Any], unkept: Collection[str] = NO_NAMES) -> bool:
        """Return True if a record with these digests has the values of a mapped entity. A field that the entity lacks
        is not compared.
        """
        entity = self.digest_record(fields, unkept)
        if len(entity) != len(record) or entity[:DIGEST_SIZE] != record[:DIGEST_SIZE]:
            return False
        return all(
            entity[place : place + DIGEST_SIZE] == record[place : place + DIGEST_SIZE]
            for name, place in self._places.items()
            if name in fields and name not in unkept
        )

    @cached_property
    def _places(self) -> Mapping[str, int]:
        """The place of the digest of each optional field."""
        return {name: DIGEST_SIZE * number for number, name in enumerate(self.optional, 1)}

    def digest_text(self, purpose: str, value: Any) -> bytes | None:
        """Return the digest of a value by which records are found, in any case; None for an empty one."""
        text = as_text(value)
        return self._digest([purpose, text.casefold()]) if text else None

    def digest_texts(self, purpose: str, values: Iterable[Any]) -> list[bytes]:
        """Return the digests of several such values, without the empty ones."""
        digests = (self.digest_text(purpose, value) for value in values)
        return [digest for digest in digests if digest is not None]

    def _canonical_value(self, name: str, fields: Mapping[str, Any]) -> Any:
        value = fields.get(name)
        return value.casefold() if name in self.caseless and isinstance(value, str) else value

    def _digest(self, value: Any) -> bytes:
        return hashlib.blake2b(canonical_form(value), digest_size=DIGEST_SIZE, key=self.key).digest()


def canonical_form(value: Any) -> bytes:
    """Return the bytes of a JSON value: equal for equal values. A whole float is the integer; true is not 1."""
    return _ENCODER.encode(_without_whole_floats(value)).encode("utf-8", "surrogatepass")


def _without_whole_floats(value: Any) -> Any:
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, Mapping):
        return {name: _without_whole_floats(one) for name, one in value.items()}
    return [_without_whole_floats(one) for one in value] if isinstance(value, list) else value


def _may_be_left_out(rule: FieldRule) -> bool:
    """True if the record keeps its value where the entity has none, or no record for the one that it refers to."""
    return rule.when_absent is WhenAbsent.KEEP or bool(rule.reference_types)
