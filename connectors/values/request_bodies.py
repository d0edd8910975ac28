"""Bodies of requests: how they are encoded, and the patches that an update may send. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote_plus

from connectors.values.exact_numbers import dump_json

MAX_FORM_FIELDS = 2_000
_MAX_DEPTH = 20
_SCIM_PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


def encode_body(body: Any, encoding: str) -> bytes:
    """Return a body as `json` or `form`. Raises TypeError, ValueError or RecursionError if it cannot be encoded."""
    if encoding == "form":
        return _encode_form(body)
    return dump_json(body).encode("utf-8")


def _encode_form(body: Any) -> bytes:
    """Encode an object as form fields, those of inner objects and lists as `a[b]` and `a[0]`. Null and an empty
    list are an empty field: without one, a list that became empty would not be sent. An object without members has no
    field, because an empty one may mean that all members are removed.
    """
    if not isinstance(body, Mapping):
        raise TypeError("a form is an object")
    parts: list[str] = []
    for name, text in _form_fields(body, "", 0):
        if len(parts) >= MAX_FORM_FIELDS:
            raise ValueError("a form has too many fields")
        parts.append(f"{quote_plus(name)}={quote_plus(text)}")
    return "&".join(parts).encode("ascii")


def _form_fields(value: Any, name: str, depth: int) -> Iterator[tuple[str, str]]:
    if depth > _MAX_DEPTH:
        raise ValueError("a form is nested too deeply")
    if isinstance(value, list | tuple) and not value:
        yield name, ""
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _form_fields(inner, f"{name}[{key}]" if name else str(key), depth + 1)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _form_fields(inner, f"{name}[{index}]", depth + 1)
    else:
        yield name, _form_text(value)


def _form_text(value: Any) -> str:
    if value is None:
        return ""
    # Numbers with the digits that were read, and `true` as JSON has it.
    return value if isinstance(value, str) else dump_json(value)


def merge_patch(current: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON Merge Patch (RFC 7396) that gives the changed fields their values. A null removes a member."""
    return {name: _merge_value(current.get(name), value) for name, value in changed.items()}


def _merge_value(before: Any, after: Any) -> Any:
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        return after
    removed = {name: None for name in before if name not in after}
    return removed | {name: _merge_value(before.get(name), value) for name, value in after.items()}


def json_patch(current: Mapping[str, Any], changed: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the JSON Patch (RFC 6902) that gives the changed fields their values. A null removes a field."""
    operations: list[dict[str, Any]] = []
    for name, value in changed.items():
        path = "/" + name.replace("~", "~0").replace("/", "~1")
        if value is not None:
            # Adds a member, or replaces one that is there.
            operations.append({"op": "add", "path": path, "value": value})
        elif name in current:
            operations.append({"op": "remove", "path": path})
    return operations


def scim_patch(
    changed: Mapping[str, Any], more_operations: Iterable[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """Return the PatchOp (RFC 7644, 3.5.2) that gives the changed fields their values, with other operations after
    these. A null removes a field.
    """
    operations = [
        {"op": "remove", "path": name} if value is None else {"op": "replace", "path": name, "value": value}
        for name, value in changed.items()
    ]
    return {"schemas": [_SCIM_PATCH], "Operations": [*operations, *more_operations]}
