"""Keep a field whose path has found no value in any entity yet: the path may be mistyped, and must clear nothing. Pure.

A plain path tells apart what an entity does not have and what is null in it. Until the path has found a first value,
what is absent is left out of writes; null or an empty value is written in any case, since the path is right. Any other
expression gives a value even if that is null.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from config_schema.expressions.expression_analysis import ABSENT, find_at_path
from sync.planning.mapping import ParsedMapping

EMPTY_VALUES: tuple[Any, ...] = (None, "", [], {})


class UnseenPaths(NamedTuple):
    """What one entity says of fields that had no value yet. `absent`: the entity does not have their path. `found`:
    it has a value at it, the first one.
    """

    absent: frozenset[str] = frozenset()
    found: frozenset[str] = frozenset()


NOTHING_UNSEEN = UnseenPaths()


def find_unseen_fields(mapping: ParsedMapping, fields_with_value: Iterable[str]) -> frozenset[str]:
    """Return the fields with a plain path that are not among those that have had a value."""
    plain = {name for name, rule in mapping.fields.items() if rule.path and rule.path.plain_steps is not None}
    return frozenset(plain.difference(fields_with_value))


def look_up_unseen(
    mapping: ParsedMapping, unseen: Iterable[str], entity: Mapping[str, Any], webhook: Mapping[str, Any]
) -> UnseenPaths:
    """Look up the paths of fields that had no value yet."""
    document = {"entity": entity, "webhook": webhook}
    absent, found = set(), set()
    for name in unseen:
        path = mapping.fields[name].path
        value = find_at_path(document, path.plain_steps or ()) if path else None
        if value is ABSENT:
            absent.add(name)
        elif value not in EMPTY_VALUES:
            found.add(name)
    return UnseenPaths(frozenset(absent), frozenset(found))


def has_same_path(mapping: ParsedMapping, other: ParsedMapping, name: str) -> bool:
    """Return True if both mappings read a field from the same path."""
    own, its = mapping.fields.get(name), other.fields.get(name)
    return own is not None and its is not None and own.path is not None and own.path == its.path
