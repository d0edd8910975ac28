"""Compute the change of a record from an entity and the record's present fields. Pure.

A plan that is not applied is a preview; it also shows support what an event changed, and an empty one sends
nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from connectors.contracts.types import Record


class ChangeAction(StrEnum):
    """Action on the record."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    NOTHING = "nothing"


class ScopeMove(StrEnum):
    """What the entity of a change did to the scope of its route. `unknown`: its data are older than the event, so that
    they do not decide whether it left or came back.
    """

    NONE = ""
    LEFT = "left"
    RETURNED = "returned"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field before and after the change. `is_compared`: false if its value causes no change by itself."""

    name: str
    before: Any
    after: Any
    is_compared: bool = True


@dataclass(frozen=True, slots=True)
class UnreadFields:
    """Fields that the target does not return, so that only what was written last can be compared.

    `was_written(record_id, name, value)` is True if the last write of the field sent this value.
    """

    names: frozenset[str]
    was_written: Callable[[str, str, Any], bool]


@dataclass(frozen=True, slots=True)
class Change:
    """Change of a record.

    `unchanged_fields` are the mapped fields that already have their value. `left_out_fields` differ but are not sent,
    because the target does not keep them (`unkept_fields`). `withheld_fields` are not sent either, because their path
    has found no value in any entity yet (`first_values`). If `candidates` is not empty, a person has to choose one of
    these records before anything is changed. `scope`: whether the entity left the scope of the route, or came back; if
    the change also `ends_link`, its record stays as it is and belongs to no entity any more.
    """

    action: ChangeAction
    record_id: str | None = None
    fields: tuple[FieldChange, ...] = ()
    unchanged_fields: tuple[tuple[str, Any], ...] = ()
    candidates: tuple[Record, ...] = ()
    left_out_fields: tuple[FieldChange, ...] = ()
    withheld_fields: tuple[str, ...] = ()
    scope: ScopeMove = ScopeMove.NONE
    ends_link: bool = False

    @property
    def is_empty(self) -> bool:
        """Return True if neither the record nor its link changes."""
        return self.action is ChangeAction.NOTHING and not self.ends_link

    @property
    def values_to_send(self) -> dict[str, Any]:
        """Return the fields to send."""
        return {change.name: change.after for change in self.fields}

    def to_document(self) -> dict[str, Any]:
        """Return the change as the JSON document that is stored and shown to support."""
        document: dict[str, Any] = {
            "action": str(self.action),
            "record": self.record_id,
            "fields": _to_documents(self.fields),
            "same": dict(self.unchanged_fields),
        }
        if self.left_out_fields:
            document["left_out"] = _to_documents(self.left_out_fields)
        if self.withheld_fields:
            document["withheld"] = list(self.withheld_fields)
        if self.scope:
            document["scope"] = str(self.scope)
        if self.ends_link:
            document["unlink"] = True
        if self.candidates:
            document["candidates"] = [
                {"record": candidate.id, "fields": dict(candidate.fields)} for candidate in self.candidates
            ]
        return document


def redact_change(change: Change, redact: Callable[[Any], Any]) -> Change:
    """Return the change with every value replaced by what `redact` returns for it, for a page that shows it."""

    def redact_fields(fields: tuple[FieldChange, ...]) -> tuple[FieldChange, ...]:
        return tuple(
            replace(field, before=redact(field.before), after=redact(field.after)) for field in fields
        )

    return replace(
        change,
        fields=redact_fields(change.fields),
        unchanged_fields=tuple((name, redact(value)) for name, value in change.unchanged_fields),
        left_out_fields=redact_fields(change.left_out_fields),
        candidates=tuple(replace(one, fields=redact(dict(one.fields))) for one in change.candidates),
    )


def _to_documents(fields: Iterable[FieldChange]) -> list[dict[str, Any]]:
    return [{"name": field.name, "before": field.before, "after": field.after} for field in fields]


def plan_existing_entity(
    target_fields: Mapping[str, Any],
    record: Record | None,
    caseless: frozenset[str],
    *,
    only_on_create: frozenset[str] = frozenset(),
    not_compared: frozenset[str] = frozenset(),
    unread: UnreadFields | None = None,
) -> Change:
    """Plan the change for an existing entity: create its record, update the fields that differ, or nothing.

    A field of `only_on_create` is left out of an update. One of `not_compared` is sent with an update that other fields
    cause. One of `unread` is sent unless it was written last with this value.
    """
    if record is None:
        return Change(
            ChangeAction.CREATE,
            None,
            tuple(FieldChange(name, None, value) for name, value in target_fields.items()),
        )
    updatable = {name: value for name, value in target_fields.items() if name not in only_on_create}
    changes, same = _compare_fields(updatable, record, caseless, not_compared, unread)
    return drop_uncompared_changes(Change(ChangeAction.UPDATE, record.id, changes, same))


def drop_uncompared_changes(change: Change) -> Change:
    """Return an update as it is if a compared field differs; otherwise a change that does nothing."""
    if any(field.is_compared for field in change.fields):
        return change
    return replace(change, action=ChangeAction.NOTHING, fields=())


def plan_deleted_entity(
    record: Record | None,
    deactivation: Mapping[str, Any] | None,
    *,
    deletes: bool,
    unread: UnreadFields | None = None,
) -> Change:
    """Plan the change for a deleted entity: delete its record, write the deactivation fields, or nothing. `unread`: as
    in `plan_existing_entity`.
    """
    if record is None:
        return Change(ChangeAction.NOTHING)
    if deletes:
        removed_fields = tuple(FieldChange(name, value, None) for name, value in record.fields.items())
        return Change(ChangeAction.DELETE, record.id, removed_fields)
    changes, same = _compare_fields(deactivation or {}, record, frozenset(), unread=unread)
    return Change(ChangeAction.UPDATE if changes else ChangeAction.NOTHING, record.id, changes, same)


def plan_candidates(
    names: Iterable[str], target_fields: Mapping[str, Any] | None, candidates: Iterable[Record]
) -> Change:
    """Describe a change that waits until a person chooses its record. `target_fields`: None for a deleted entity.

    The candidates are reduced to the fields of these names: a person compares them, and nothing else is stored.
    """
    reduced = tuple(
        Record(candidate.id, {name: candidate.fields.get(name) for name in names}) for candidate in candidates
    )
    fields = tuple(FieldChange(name, None, value) for name, value in (target_fields or {}).items())
    return Change(ChangeAction.NOTHING, None, fields, candidates=reduced)


def add_unchanged_field(change: Change, name: str, value: Any) -> Change:
    """Return the change with a field of the record that it does not send; as it is if it has that field already."""
    names = {field.name for field in change.fields} | {known for known, _ in change.unchanged_fields}
    if name in names:
        return change
    return replace(change, unchanged_fields=(*change.unchanged_fields, (name, value)))


def _compare_fields(
    target_fields: Mapping[str, Any],
    record: Record,
    caseless: frozenset[str],
    not_compared: frozenset[str] = frozenset(),
    unread: UnreadFields | None = None,
) -> tuple[tuple[FieldChange, ...], tuple[tuple[str, Any], ...]]:
    changes, same = [], []
    for name, after in target_fields.items():
        before = record.fields.get(name)
        if unread is not None and name in unread.names:
            is_same = unread.was_written(record.id, name, after)
        else:
            is_same = values_equal(before, after, name in caseless)
        if is_same:
            same.append((name, after))
        else:
            changes.append(FieldChange(name, before, after, name not in not_compared))
    return tuple(changes), tuple(same)


def values_equal(before: Any, after: Any, is_caseless: bool) -> bool:
    """Return True if a field that has one value need not be written to have the other."""
    if is_caseless and isinstance(before, str) and isinstance(after, str):
        return before.casefold() == after.casefold()
    return json_equal(before, after)


def json_equal(before: Any, after: Any) -> bool:
    """Return True if two values are equal as JSON: at any depth, true is not 1, as it is in Python."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return before.keys() == after.keys() and all(json_equal(before[name], after[name]) for name in before)
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and all(map(json_equal, before, after))
    return isinstance(before, bool) == isinstance(after, bool) and bool(before == after)
