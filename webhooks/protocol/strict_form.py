"""Parse forms (application/x-www-form-urlencoded) strictly, so that a stored one has one meaning. Pure.

Python's parser drops broken escapes and undecodable bytes silently, and readers differ in which of two values of one
name counts.
"""

import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes, urlencode

from webhooks.protocol.strict_json import BYTE_ORDER_MARK, MalformedBody

FORM_TYPE = "application/x-www-form-urlencoded"
MAX_FIELDS = 1_000

# No encoder writes these bytes, and an escape has two hexadecimal digits.
_MALFORMED = re.compile(rb"[\x00-\x20\x7f]|%(?![0-9A-Fa-f]{2})")


def is_form(content_type: str) -> bool:
    """True if this content type, with its parameters, means a form."""
    return content_type.partition(";")[0].strip().lower() == FORM_TYPE


def parse_form(body: bytes) -> dict[str, str]:
    """Return the fields of a form by name. A name without `=` has the value "".

    Raises MalformedBody with one of the codes byte-order-mark, not-form, too-many-fields, wrong-encoding and
    duplicate-member. A repeated name is refused as in JSON.
    """
    if body.startswith(BYTE_ORDER_MARK):
        raise MalformedBody("byte-order-mark", offset=0)
    if malformed := _MALFORMED.search(body):
        raise MalformedBody("not-form", offset=malformed.start())
    # Before the body is split: it may consist of separators.
    if body.count(b"&") >= MAX_FIELDS:
        raise MalformedBody("too-many-fields")
    fields: dict[str, str] = {}
    for pair in filter(None, body.split(b"&")):
        name, value = map(_decode_text, pair.partition(b"=")[::2])
        if name in fields:
            raise MalformedBody("duplicate-member")
        fields[name] = value
    if not fields:
        raise MalformedBody("not-form", offset=0)
    return fields


def _decode_text(escaped: bytes) -> str:
    try:
        return unquote_to_bytes(escaped.replace(b"+", b" ")).decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedBody("wrong-encoding") from None


def encode_form(fields: Mapping[str, str]) -> bytes:
    """Return the form with these fields."""
    return urlencode(fields).encode("ascii")
