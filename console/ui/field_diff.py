"""What a change of settings changes, field by field, and member by member where a field holds JSON. Pure."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from audit.format.canonical_json import JSONValue
from sync.planning.change import json_equal

MOST_SHOWN = 100
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Changed:
    """One line: what it is called, and its value before and after as text. None where there was or will be none."""

    label: str
    before: str | None
    after: str | None


def changed(
    before: Mapping[str, JSONValue], after: Mapping[str, JSONValue], labels: Mapping[str, str]
) -> list[Changed]:
    """What differs of the fields that have a label, in the order of the labels."""
    lines: list[Changed] = []
    for name, label in labels.items():
        lines += _lines(label, _value(before, name), _value(after, name))
    return lines[:MOST_SHOWN]


def _value(values: Mapping[str, JSONValue], name: str) -> Any:
    """Of a field: an empty one has none."""
    value = values.get(name)
    return _ABSENT if value is None or value == "" else value


def _lines(label: str, before: Any, after: Any) -> Iterator[Changed]:
    if json_equal(before, after):
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for name in {**before, **after}:
            yield from _lines(f"{label} / {name}", before.get(name, _ABSENT), after.get(name, _ABSENT))
    else:
        yield Changed(label, _text(before), _text(after))


def _text(value: Any) -> str | None:
    if value is _ABSENT:
        return None
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return (
        value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False, sort_keys=True)
    )
