"""Fill a JSON document that has placeholders where a whole text is one: `"{id}"`. Pure.

A placeholder within a longer text is left as it is: query languages use braces of their own.
"""

from collections.abc import Iterable, Mapping
from typing import Any

MAX_PARTS = 200
MAX_DEPTH = 10


def list_texts(document: Any) -> list[str] | None:
    """Return the texts of a JSON document; None if it has more than 200 values or more than ten levels."""
    texts: list[str] = []
    level, count = [document], 0
    for _ in range(MAX_DEPTH):
        count += len(level)
        if count > MAX_PARTS:
            return None
        texts += [part for part in level if isinstance(part, str)]
        level = [child for part in level for child in _children(part)]
        if not level:
            return texts
    return None


def find_used(document: Any, names: Iterable[str]) -> frozenset[str]:
    """Return those of the names whose placeholder is in a document."""
    texts = frozenset(list_texts(document) or ())
    return frozenset(name for name in names if f"{{{name}}}" in texts)


def fill_document(document: Any, values: Mapping[str, Any]) -> Any:
    """Return a document with the values in place of their placeholders. Values are not expanded again."""
    if isinstance(document, Mapping):
        return {name: fill_document(part, values) for name, part in document.items()}
    if isinstance(document, list | tuple):
        return [fill_document(part, values) for part in document]
    if isinstance(document, str) and document.startswith("{") and document.endswith("}"):
        return values.get(document[1:-1], document)
    return document


def _children(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else []
