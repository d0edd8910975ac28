"""Values of settings as the texts of controls, and back."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from django.utils.translation import gettext as _

from config_schema.kinds import ValueKind
from connectors.http.query_parameters import QueryValue
from connectors.settings.body_template import Body
from connectors.settings.setting_kinds import QueryParameters
from console.document_forms.control_families import Family, family_of, item_kind

Rows = tuple[tuple[str, str], ...]
JsonParser = Callable[[str], Any]

_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_LINE_ENDS = re.compile(r"\r\n?")


class Unreadable(ValueError):
    """A text of a control is not a value of its kind. Its text is for the reader."""


def same_lines(text: str) -> str:
    """Return a text with the line ends that a browser shows; it sends others."""
    return _LINE_ENDS.sub("\n", text)


def show_text(family: Family, kind: ValueKind[Any], value: Any) -> str | None:
    """Return the text by which a control shows a value. None: it cannot, because its type is wrong or a text has
    several lines.
    """
    shown: str | None = None
    if family is Family.JSON:
        shown = json.dumps(value, ensure_ascii=False, indent=None if _is_plain(value) else 2)
    elif family is Family.SWITCH:
        shown = {True: "on", False: "off"}.get(value) if isinstance(value, bool) else None
    elif family is Family.NUMBER:
        shown = str(value) if isinstance(value, int) and not isinstance(value, bool) else None
    elif family is Family.STATUSES:
        shown = _show_statuses(value)
    elif family is Family.PLAIN:
        shown = _show_plain(value)
    elif family is Family.CONSTANT:
        shown = _one_line(value["constant"] if is_constant(value) else value)
    elif family is Family.LINES:
        shown = _show_lines(kind, value)
    elif family is Family.LONG_TEXT:
        shown = value if isinstance(value, str) else None
    elif family in (Family.TEXT, Family.EXPRESSION, Family.CHOICE):
        shown = _one_line(value)
    return shown


def read_text(
    family: Family, kind: ValueKind[Any], text: str, stored: Any, parse_json: JsonParser = json.loads
) -> Any:
    """Return the value that a person entered as a text in place of a stored one. Raises Unreadable, and what
    `parse_json` raises, a ValueError.
    """
    if family is Family.JSON:
        return parse_json(text)
    if family is Family.NUMBER:
        if not _WHOLE_NUMBER.fullmatch(text.strip()):
            raise Unreadable(_("This must be a whole number."))
        return int(text)
    if family is Family.STATUSES:
        return _read_statuses(text, stored)
    if family is Family.PLAIN:
        return _read_plain(text, parse_json)
    if family is Family.LINES:
        item, inner = item_kind(kind), family_of(item_kind(kind))
        lines = [line.strip() for line in text.split("\n")]
        return [read_text(inner, item, line, None, parse_json) for line in lines if line]
    return text


def show_rows(kind: ValueKind[Any], value: Any) -> Rows | None:
    """Return the rows of names and texts by which a control shows an object. None: it cannot."""
    if not isinstance(value, Mapping):
        return None
    item, family = item_kind(kind), _row_family(kind)
    rows: list[tuple[str, str]] = []
    for name, content in value.items():
        if isinstance(kind, Body):
            # Any other part of a body is shown as JSON.
            content = content["expression"] if is_expression_part(content) else None  # noqa: PLW2901
        is_repeated = isinstance(kind, QueryParameters) and isinstance(content, list) and content
        for one in content if is_repeated else (content,):
            shown = show_text(family, item, one)
            if not name or _one_line(name) is None or _one_line(shown) is None:
                return None
            rows.append((name, shown or ""))
    return tuple(rows)


def read_rows(kind: ValueKind[Any], rows: Rows, stored: Any, parse_json: JsonParser = json.loads) -> Any:
    """Return the object that a person entered as rows in place of a stored one. What has the same texts as before stays
    as it is. Raises Unreadable, and what `parse_json` raises, a ValueError.
    """
    before = stored if isinstance(stored, Mapping) else {}
    shown = _texts_by_name(show_rows(kind, before) or ())
    item, family = item_kind(kind), _row_family(kind)
    read: dict[str, Any] = {}
    for name, texts in _texts_by_name(rows).items():
        if not name:
            raise Unreadable(_("A row has a value but no name."))
        if shown.get(name) == texts:
            read[name] = before[name]
            continue
        if len(texts) > 1 and not isinstance(kind, QueryParameters):
            raise Unreadable(_("“%(name)s” appears twice here. Remove one.") % {"name": name[:100]})
        values: list[QueryValue] = [read_text(family, item, text, None, parse_json) for text in texts]
        was_list = isinstance(before.get(name), list) and isinstance(kind, QueryParameters)
        read[name] = values if len(values) > 1 or was_list else values[0]
        if isinstance(kind, Body):
            read[name] = {"expression": texts[0]}
    return read


def is_constant(value: Any) -> bool:
    """Return True if a value is a constant, which stands for itself where an expression could be."""
    return isinstance(value, Mapping) and set(value) == {"constant"} and isinstance(value["constant"], str)


def is_expression_part(value: Any) -> bool:
    """Return True if a value of a body stands for the result of an expression, without further settings."""
    return (
        isinstance(value, Mapping) and set(value) == {"expression"} and isinstance(value["expression"], str)
    )


def _texts_by_name(rows: Rows) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {}
    for name, text in rows:
        texts.setdefault(name, []).append(text)
    return texts


def _one_line(value: Any) -> str | None:
    return value if isinstance(value, str) and not re.search(r"[\r\n]", value) else None


def _is_plain(value: Any) -> bool:
    return not isinstance(value, Mapping | list)


def _show_lines(kind: ValueKind[Any], value: Any) -> str | None:
    if not isinstance(value, list):
        return None
    item, family = item_kind(kind), family_of(item_kind(kind))
    lines = [show_text(family, item, one) for one in value]
    if any(line is None or not line or line != line.strip() or "\n" in line for line in lines):
        return None
    return "\n".join(line or "" for line in lines)


def _show_statuses(value: Any) -> str | None:
    listed = value if isinstance(value, list) else [value]
    if not all(isinstance(one, str | int) and not isinstance(one, bool) for one in listed):
        return None
    return ", ".join(map(str, listed)) if listed else None


def _read_statuses(text: str, stored: Any) -> Any:
    words = text.replace(",", " ").split()
    listed = [int(word) if _WHOLE_NUMBER.fullmatch(word) else word for word in words]
    return listed[0] if len(listed) == 1 and not isinstance(stored, list) else listed


def _row_family(kind: ValueKind[Any]) -> Family:
    """Return how one value of rows is edited. Any JSON value is written as people write it, without quotes."""
    family = family_of(item_kind(kind))
    return Family.PLAIN if family is Family.JSON else family


def _show_plain(value: Any) -> str | None:
    if isinstance(value, str):
        # A text that would be read as something else is shown in quotes.
        return json.dumps(value, ensure_ascii=False) if _looks_like_json(value) else _one_line(value)
    return json.dumps(value, ensure_ascii=False)


def _read_plain(text: str, parse_json: JsonParser) -> Any:
    return parse_json(text) if _looks_like_json(text) else text


def _looks_like_json(text: str) -> bool:
    if text.startswith(("{", "[", '"')):
        return True
    try:
        json.loads(text, parse_constant=_refuse_constant)
    except ValueError:
        return False
    return True


def _refuse_constant(name: str) -> None:
    raise ValueError(name)
