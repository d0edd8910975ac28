"""Faults that alter a request or its response: the service responds, but not as it should."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from sandbox.http.messages import JSON, HttpError, Request, Response

STORED_FORMS: Mapping[str, str] = {
    "upper": "in upper case",
    "lower": "in lower case",
    "trimmed": "without spaces around it",
    "digits": "as digits only",
    "nothing": "not at all",
}
"""The forms in which an altered field is stored, and the words for them."""

ALTERATIONS = frozenset({"alter", "unfiltered", "forbid", "numeric", "unverified"})
"""The kinds of faults that this module applies. All that match a request are applied together."""

_PAGING_PARAMETERS = frozenset({"offset", "limit", "startIndex", "count"})
_TEXT_FORMS: Mapping[str, Callable[[str], str]] = {
    "upper": str.upper,
    "lower": str.lower,
    "trimmed": str.strip,
    "digits": lambda text: "".join(filter(str.isdigit, text)),
}


def alter_stored_field(request: Request, field: str, form: str) -> Request:
    """Return a request that writes another value of a field than the client sent.

    Other requests, and values that are not text (unless ``form`` is ``nothing``), are returned as they are.
    """
    content = _parse_object(request.body)
    if content is None or field not in content:
        return request
    if form == "nothing":
        del content[field]
    elif isinstance(content[field], str):
        content[field] = _TEXT_FORMS[form](content[field])
    return replace(request, body=_encode(content))


def drop_filters(request: Request) -> Request:
    """Return a request without search parameters; those that choose a page are left."""
    parameters = parse_qsl(request.query_string, keep_blank_values=True)
    kept = [(name, value) for name, value in parameters if name in _PAGING_PARAMETERS]
    return replace(request, query_string=urlencode(kept))


def forbid_absent(response: Response, build_error_response: Callable[[HttpError], Response]) -> Response:
    """Return 403 in place of 404, and every other response as it is."""
    if response.status != 404:
        return response
    return build_error_response(HttpError(403, "You may not see this record."))


def give_numeric_ids(response: Response) -> Response:
    """Return a response in which each ``id`` that consists of digits is a number."""
    return _alter_objects(response, {"id": to_numeric_id})


def give_unverified(response: Response) -> Response:
    """Return a response in which no address is ``verified``."""
    return _alter_objects(response, {"verified": lambda value: False})


def to_numeric_id(value: Any) -> Any:
    """Return an id that consists of digits as a number; any other value as it is."""
    is_number = isinstance(value, str) and value.isascii() and value.isdigit() and str(int(value)) == value
    return int(value) if is_number else value


def _alter_objects(response: Response, alterations: Mapping[str, Callable[[Any], Any]]) -> Response:
    if response.content_type != JSON or not response.body:
        return response
    return replace(response, body=_encode(_alter_values(json.loads(response.body), alterations)))


def _alter_values(content: Any, alterations: Mapping[str, Callable[[Any], Any]]) -> Any:
    if isinstance(content, list):
        return [_alter_values(value, alterations) for value in content]
    if not isinstance(content, dict):
        return content
    return {
        name: alterations[name](value) if name in alterations else _alter_values(value, alterations)
        for name, value in content.items()
    }


def _parse_object(body: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _encode(content: Iterable[Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
