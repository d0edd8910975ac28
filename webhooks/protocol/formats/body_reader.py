"""Read the document in the body of a request, without the values that the webhook format drops. Pure."""

import json
from dataclasses import dataclass
from typing import Any

from webhooks.protocol import strict_json
from webhooks.protocol.formats.dropped_paths import drop_paths
from webhooks.protocol.formats.webhook_format import WebhookFormat
from webhooks.protocol.strict_form import encode_form, is_form, parse_form
from webhooks.protocol.strict_json import MalformedBody

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class _ReadBody:
    """The document in a body.

    `texts` are the names of its fields that contain JSON as text in the body. If `has_dropped`, values were removed
    from it.
    """

    document: Any
    texts: frozenset[str]
    has_dropped: bool


def read_body(webhook_format: WebhookFormat, body: bytes, content_type: str) -> Any:
    """Return the document in a body: JSON, the fields of a form, or None for an empty body if the format allows it.

    Texts in `json_fields` are replaced by the JSON in them. Then the values that the format drops are removed. Raises
    MalformedBody; its pointer never repeats a name that the sender made up.
    """
    return _read_body(webhook_format, body, content_type).document


def remove_dropped_values(webhook_format: WebhookFormat, body: bytes, content_type: str) -> bytes:
    """Remove the values that the format drops from a body. Returns b"" if the body is malformed: the values cannot be
    found in it.
    """
    if not webhook_format.dropped_paths:
        return body
    try:
        read = _read_body(webhook_format, body, content_type)
    except MalformedBody:
        return b""
    if not read.has_dropped:
        return body
    document = read.document
    if read.texts:
        document |= {name: _ENCODER.encode(document[name]) for name in read.texts & document.keys()}
    return encode_form(document) if is_form(content_type) else _ENCODER.encode(document).encode()


def _read_body(webhook_format: WebhookFormat, body: bytes, content_type: str) -> _ReadBody:
    if not body and webhook_format.allows_empty_body:
        return _ReadBody(None, frozenset(), has_dropped=False)
    try:
        document = parse_form(body) if is_form(content_type) else strict_json.parse_json(body)
        texts = _read_json_fields(document, webhook_format.json_fields)
    except MalformedBody as error:
        # A pointer would repeat a name that the sender made up.
        raise MalformedBody(error.code, offset=error.offset) from None
    return _ReadBody(document, texts, drop_paths(document, webhook_format.dropped_paths))


def _read_json_fields(document: Any, names: frozenset[str]) -> frozenset[str]:
    """Replace the texts with these names by the JSON in them, in place. Returns the names of those that are there."""
    if not isinstance(document, dict):
        return frozenset()
    texts = frozenset(name for name in names if isinstance(document.get(name), str))
    for name in texts:
        document[name] = strict_json.parse_json(document[name].encode("utf-8"))
    return texts
