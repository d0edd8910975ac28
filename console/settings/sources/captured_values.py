"""List the values of a captured request one by one, each with its place, so that each can be revealed alone. Pure."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl

from webhooks.captures.masked_headers import MASK
from webhooks.protocol.strict_form import is_form

# Of the headers, and of the body.
MAX_VALUES = 300
MAX_DEPTH = 20
MAX_NAME_LENGTH = 100
# Characters of a value that are shown.
MAX_TEXT_LENGTH = 65_536
WHOLE = "body"
_MAX_FIELDS = 1_000


@dataclass(frozen=True, slots=True)
class CapturedValue:
    """One value. `key`: what names it while the request is stored. `name`: its header or the path of its field, "" for
    a body that has no fields. `is_masked`: `text` says nothing about it.
    """

    key: str
    name: str
    text: str
    is_masked: bool = True


def list_headers(headers: Mapping[str, str]) -> list[CapturedValue]:
    """Return the headers. Of those whose value is not stored, the text says so."""
    return [
        CapturedValue(f"h{number}", name, value, is_masked=not value.startswith(MASK))
        for number, (name, value) in enumerate(headers.items())
    ]


def list_values(body: bytes, content_type: str) -> list[CapturedValue]:
    """Return the values of a JSON document or a form in their order, at most 301: the last says that there are more.
    Any other body is one value. True, false, null and what is empty is not masked.
    """
    text = body.decode("utf-8", "replace")
    try:
        fields = islice(_list_fields(text, content_type), MAX_VALUES + 1)
        return [_to_value(f"b{number}", name, value) for number, (name, value) in enumerate(fields)]
    except (ValueError, RecursionError):
        return [CapturedValue("b0", "", text[:MAX_TEXT_LENGTH])]


def _list_fields(text: str, content_type: str) -> Iterator[tuple[str, Any]]:
    if not text:
        return
    if is_form(content_type):
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=True, max_num_fields=_MAX_FIELDS)
        yield from ((name[:MAX_NAME_LENGTH], value) for name, value in pairs)
        return
    # Not a recursion: a document may be nested deeply.
    pending: list[tuple[str, Any, int]] = [("", json.loads(text), 0)]
    while pending:
        name, value, depth = pending.pop()
        items = _list_items(name, value) if depth < MAX_DEPTH else []
        if items:
            pending.extend((inner, item, depth + 1) for inner, item in reversed(items))
        else:
            yield name, value


def _list_items(name: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        prefix = f"{name}." if name else ""
        return [(f"{prefix}{key[:MAX_NAME_LENGTH]}", item) for key, item in value.items()]
    if isinstance(value, list):
        return [(f"{name}[{number}]", item) for number, item in enumerate(value)]
    return []


def _to_value(key: str, name: str, value: Any) -> CapturedValue:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    is_masked = not (isinstance(value, bool) or value is None or value in ("", [], {}))
    return CapturedValue(key, printable(name), printable(text[:MAX_TEXT_LENGTH]), is_masked)


def printable(text: str) -> str:
    """Return a text that can be sent: JSON can spell lone surrogates, which UTF-8 cannot."""
    return text.encode("utf-8", "backslashreplace").decode()
