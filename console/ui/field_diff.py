"""Differences of two versions of settings, field by field, and inside JSON objects key by key. Pure."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from audit.format.canonical_json import JSONValue
from sync.planning.change import json_equal

MAX_CHANGES = 100
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One difference of settings: label, and the value before and after as text. None means no value."""

    label: str
    before: str | None
    after: str | None


def diff_fields(
    before: Mapping[str, JSONValue], after: Mapping[str, JSONValue], labels: Mapping[str, str]
) -> list[FieldChange]:
    """Return the differences of the labelled fields, in the order of `labels`."""
    lines: list[FieldChange] = []
    for name, label in labels.items():
        lines += _diff_values(label, _field_value(before, name), _field_value(after, name))
    return lines[:MAX_CHANGES]


def _field_value(values: Mapping[str, JSONValue], name: str) -> Any:
    """Return the value of a field; an empty one counts as absent."""
    value = values.get(name)
    # Forms turn an empty field into "" where the database has NULL.
    return _ABSENT if value is None or value == "" else value


def _diff_values(label: str, before: Any, after: Any) -> Iterator[FieldChange]:
    if json_equal(before, after):
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for name in {**before, **after}:
            yield from _diff_values(f"{label} / {name}", before.get(name, _ABSENT), after.get(name, _ABSENT))
    else:
        yield FieldChange(label, _value_as_text(before), _value_as_text(after))


def _value_as_text(value: Any) -> str | None:
    if value is _ABSENT:
        return None
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return (
        value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False, sort_keys=True)
    )
