"""Write a changed JSON document as text, with each value that did not change spelled as it was. Pure."""

import json
from typing import Any

from config_schema.errors import SettingPath

_decode_text = json.decoder.scanstring  # type: ignore[attr-defined]
_SPACE = " \t\n\r"
_INDENT = "  "
# What is short is written on one line.
_MAX_LINE = 100


def rewrite_json(text: str, after: Any) -> str:
    """Return a text of the document `after`, made from the valid JSON text of the document before it.

    A value that is the same at the same place keeps its text byte for byte, and so does the whole text if nothing
    changed. What is around a change is written anew, indented by two spaces.
    """
    spans = _find_spans(text)
    start, end = spans[()]
    written = _Writer(text, json.loads(text), spans).write(after, (), 0)
    return text[:start] + written + text[end:]


class _Writer:
    def __init__(self, text: str, before: Any, spans: dict[SettingPath, tuple[int, int]]) -> None:
        self._text = text
        self._before = before
        self._spans = spans

    def write(self, value: Any, place: SettingPath, depth: int) -> str:
        """Return the text of the value at a place of the changed document."""
        known = self._find(place)
        if known is not None and _is_same(known[0], value):
            return known[1]
        if known is not None and isinstance(known[0], dict) and isinstance(value, dict) and value:
            return self._write_object(value, place, depth, is_flat="\n" not in known[1])
        flat = json.dumps(value, ensure_ascii=False)
        if len(flat) <= _MAX_LINE:
            return flat
        return json.dumps(value, ensure_ascii=False, indent=2).replace("\n", "\n" + _INDENT * depth)

    def _write_object(self, value: dict[str, Any], place: SettingPath, depth: int, *, is_flat: bool) -> str:
        parts = [
            f"{json.dumps(name, ensure_ascii=False)}: {self.write(one, (*place, name), depth + 1)}"
            for name, one in value.items()
        ]
        flat = "{" + ", ".join(parts) + "}"
        if is_flat and len(flat) <= _MAX_LINE and "\n" not in flat:
            return flat
        inner = "\n" + _INDENT * (depth + 1)
        return "{" + inner + ("," + inner).join(parts) + "\n" + _INDENT * depth + "}"

    def _find(self, place: SettingPath) -> tuple[Any, str] | None:
        """Return the value that was at a place, and its text."""
        if place not in self._spans:
            return None
        value = self._before
        for step in place:
            value = value[step]
        start, end = self._spans[place]
        return value, self._text[start:end]


def _is_same(before: Any, after: Any) -> bool:
    """Return True for equal documents with the same order of names. `1`, `1.0` and `true` are not equal."""
    return json.dumps(before) == json.dumps(after)


def _find_spans(text: str) -> dict[SettingPath, tuple[int, int]]:
    """Return where each value of a valid JSON text is, except in lists, by its path."""
    spans: dict[SettingPath, tuple[int, int]] = {}
    _scan_value(text, _skip(text, 0), (), spans)
    return spans


def _scan_value(
    text: str, start: int, place: SettingPath | None, spans: dict[SettingPath, tuple[int, int]]
) -> int:
    """Return the end of the value at an offset. `place` is None inside a list."""
    if text[start] == '"':
        end = int(_decode_text(text, start + 1)[1])
    elif text[start] in "{[":
        end = _scan_parts(text, start, place, spans)
    else:
        end = start
        while end < len(text) and text[end] not in ",]}" + _SPACE:
            end += 1
    if place is not None:
        spans[place] = (start, end)
    return end


def _scan_parts(
    text: str, start: int, place: SettingPath | None, spans: dict[SettingPath, tuple[int, int]]
) -> int:
    is_object = text[start] == "{"
    position = _skip(text, start + 1)
    while text[position] not in "}]":
        below: SettingPath | None = None
        if is_object:
            name, position = _decode_text(text, position + 1)
            position = _skip(text, _skip(text, position) + 1)
            below = None if place is None else (*place, name)
        position = _skip(text, _scan_value(text, position, below, spans))
        if text[position] == ",":
            position = _skip(text, position + 1)
    return position + 1


def _skip(text: str, position: int) -> int:
    while position < len(text) and text[position] in _SPACE:
        position += 1
    return position
