"""From what the identity service holds and what the commercial system holds to what must change. Pure.

Plan without apply is a preview; the same engine tells support what an event changed, and stops when there is nothing
to do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sync.connectors.contracts.types import Record


class ChangeAction(StrEnum):
    """What is done to the record."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field, before and after."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Change:
    """What a plan found. `unchanged_fields` are the mapped fields that already have their value."""

    action: ChangeAction
    record_id: str | None = None
    fields: tuple[FieldChange, ...] = ()
    unchanged_fields: tuple[tuple[str, Any], ...] = ()

    @property
    def values_to_send(self) -> dict[str, Any]:
        """The fields to send."""
        return {change.name: change.after for change in self.fields}

    def to_document(self) -> dict[str, Any]:
        """As it is kept, and shown to support."""
        return {
            "action": str(self.action),
            "record": self.record_id,
            "fields": [
                {"name": each.name, "before": each.before, "after": each.after} for each in self.fields
            ],
            "same": dict(self.unchanged_fields),
        }


def plan_existing_entity(
    wanted: Mapping[str, Any], record: Record | None, caseless: frozenset[str]
) -> Change:
    """The change for an entity that is there: create its record, update the fields that differ, or nothing."""
    if record is None:
        return Change(
            ChangeAction.CREATE, None, tuple(FieldChange(name, None, value) for name, value in wanted.items())
        )
    changes, same = _compare_fields(wanted, record, caseless)
    return Change(ChangeAction.UPDATE if changes else ChangeAction.NOTHING, record.id, changes, same)


def plan_deleted_entity(
    record: Record | None, deactivation: Mapping[str, Any] | None, *, deletes: bool
) -> Change:
    """The change for an entity that is gone: delete its record, mark it inactive, or leave it alone."""
    if record is None:
        return Change(ChangeAction.NOTHING)
    if deletes:
        gone = tuple(FieldChange(name, value, None) for name, value in record.fields.items())
        return Change(ChangeAction.DELETE, record.id, gone)
    changes, same = _compare_fields(deactivation or {}, record, frozenset())
    return Change(ChangeAction.UPDATE if changes else ChangeAction.NOTHING, record.id, changes, same)


def _compare_fields(
    wanted: Mapping[str, Any], record: Record, caseless: frozenset[str]
) -> tuple[tuple[FieldChange, ...], tuple[tuple[str, Any], ...]]:
    changes, same = [], []
    for name, after in wanted.items():
        before = record.fields.get(name)
        if _values_equal(before, after, name in caseless):
            same.append((name, after))
        else:
            changes.append(FieldChange(name, before, after))
    return tuple(changes), tuple(same)


def _values_equal(before: Any, after: Any, is_caseless: bool) -> bool:
    if is_caseless and isinstance(before, str) and isinstance(after, str):
        return before.casefold() == after.casefold()
    return json_equal(before, after)


def json_equal(before: Any, after: Any) -> bool:
    """Equal as JSON: at any depth, a truth value is not the number that Python takes it for."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return before.keys() == after.keys() and all(json_equal(before[name], after[name]) for name in before)
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and all(map(json_equal, before, after))
    return isinstance(before, bool) == isinstance(after, bool) and bool(before == after)
