"""Sentences that say what a closed card does, made from its values. Pure."""

from collections.abc import Mapping
from typing import Any

from config_schema.kinds import ValueKind
from config_schema.objects import Object

_MOST_PARTS = 4
_LONGEST = 90


def summarize(kind: ValueKind[Any], value: Any) -> str:
    """Return what an object says, on one line: its request if it is one, then its plain values and what else it has."""
    if not isinstance(value, Mapping):
        return _shorten(str(value))
    rest = dict(value)
    parts: list[str] = []
    if isinstance(value.get("path"), str):
        parts.append(" ".join(filter(None, (_method_of(kind, rest), rest.pop("path")))))
    plain = [(name, one) for name, one in rest.items() if isinstance(one, str | int | float)]
    parts += [f"{name} {_write(one)}" for name, one in plain[:_MOST_PARTS]]
    larger = [name for name, one in rest.items() if isinstance(one, Mapping | list) and one]
    parts += [", ".join(larger)] if larger else []
    return _shorten("; ".join(parts))


def _method_of(kind: ValueKind[Any], rest: dict[str, Any]) -> str:
    default = ""
    if isinstance(kind, Object):
        default = next(
            (str(one.default) for one in kind.settings if one.name == "method" and one.default), ""
        )
    method = rest.pop("method", default)
    return method if isinstance(method, str) else ""


def _write(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
