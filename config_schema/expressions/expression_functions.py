"""Functions that expressions may call in addition to the functions of JMESPath. Pure.

A text function returns any other value as it is.
"""

import binascii
import hashlib
import json
import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Never

from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions

# A number from here on counts as milliseconds: as seconds it would be in the year 5138.
FIRST_MILLISECONDS = 100_000_000_000
MAX_JSON_DEPTH = 32
_STRINGS_AND_BRACKETS = re.compile(r'"(?:[^"\\]++|\\.)*+"?|([\[{])|([\]}])', re.DOTALL)
# Only these can produce a lone surrogate or an infinite number.
_NEEDS_CHECK = re.compile(r"\\u[dD][89a-fA-F]|[0-9][eE]|[0-9]{300}|[\ud800-\udfff]")
_FROM_BASE64URL = str.maketrans("-_", "+/")
DATE_FORMS = ("date", "date-time", "seconds", "milliseconds")


class UnexpectedValueType(JMESPathError):  # type: ignore[misc]
    """The document contains values of other types than the expression needs."""


def apply_to_text(change: Callable[[str], Any]) -> Callable[[Any], Any]:
    """Return a function that changes texts, and returns any other value as it is."""
    return lambda value: change(value) if isinstance(value, str) else value


def find_first_email(emails: Any) -> str | None:
    """Return the first address of a list of texts or of objects with `address`, verified or not; None without one."""
    for entry in emails if isinstance(emails, list) else [emails]:
        address = entry.get("address") if isinstance(entry, dict) else entry
        if isinstance(address, str) and address:
            return address
    return None


def hash_md5(text: str) -> str:
    """Return the MD5 digest of a text in hex. Some systems name records by it; it protects nothing."""
    return hashlib.md5(_encode(text), usedforsecurity=False).hexdigest()


def hash_sha256(text: str) -> str:
    """Return the SHA-256 digest of a text in hex."""
    return hashlib.sha256(_encode(text)).hexdigest()


def _encode(text: str) -> bytes:
    # A document may hold half of a surrogate pair.
    return text.encode("utf-8", "replace")


def list_items(value: Any) -> list[dict[str, Any]] | None:
    """Return the fields of an object as a list of `{"key": …, "value": …}`; None for null."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise UnexpectedValueType("items() takes an object")
    return [{"key": name, "value": field} for name, field in value.items()]


def zip_lists(lists: Any) -> list[list[Any]] | None:
    """Combine lists item by item: `[[1, 2], ["a", "b"]]` gives `[[1, "a"], [2, "b"]]`.

    Items beyond the end of the shortest list are left out. Returns None for null.
    """
    if lists is None:
        return None
    if not isinstance(lists, list) or not all(isinstance(item, list) for item in lists):
        raise UnexpectedValueType("zip() takes lists")
    return [list(group) for group in zip(*lists, strict=False)]


def subtract_list(items: Any, others: Any) -> list[Any] | None:
    """Return the items of a list that are not in another list, in their order. Returns None if one of them is null."""
    # A list that is missing must not make all items a difference.
    if items is None or others is None:
        return None
    if not isinstance(items, list) or not isinstance(others, list):
        raise UnexpectedValueType("difference() takes lists")
    known = {_make_hashable(other) for other in others}
    return [item for item in items if _make_hashable(item) not in known]


def _make_hashable(value: Any) -> Any:
    """Convert a JSON value into a hashable one. Two results are equal if the values are: `1` is `1.0`, not `true`."""
    if isinstance(value, dict):
        return ("object", frozenset((name, _make_hashable(field)) for name, field in value.items()))
    if isinstance(value, list):
        return ("list", tuple(map(_make_hashable, value)))
    return (isinstance(value, bool), value)


def format_date(value: Any, form: str = DATE_FORMS[0]) -> str | int | None:
    """Convert a time into one of `DATE_FORMS`, in UTC. Returns None for null.

    `value`: RFC 3339, a date, or a number of seconds or milliseconds since 1970. A time without a zone is in UTC.
    Raises UnexpectedValueType if it is no time, or if there is no such form.
    """
    if value is None:
        return None
    moment = _read_time(value)
    if form == "date":
        return moment.date().isoformat()
    if form == "date-time":
        return moment.replace(microsecond=0, tzinfo=None).isoformat() + "Z"
    if form == "seconds":
        return int(moment.timestamp())
    if form == "milliseconds":
        return round(moment.timestamp() * 1000)
    raise UnexpectedValueType(f"date() knows these forms: {', '.join(DATE_FORMS)}")


def _read_time(value: Any) -> datetime:
    try:
        if isinstance(value, str):
            read = datetime.fromisoformat(value)
            return read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000 if abs(value) >= FIRST_MILLISECONDS else value, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise UnexpectedValueType("date() takes a time of RFC 3339, or seconds or milliseconds since 1970")


def read_json(text: str | None) -> Any:
    """Return the value of a JSON text; None for null. Raises UnexpectedValueType if it is not JSON, is nested more than
    `MAX_JSON_DEPTH` deep, or has what no stored document may have: infinite numbers and lone surrogates.
    """
    if text is None:
        return None
    # Each level needs a bracket: with so few of them the depth needs no look.
    if text.count("[") + text.count("{") > MAX_JSON_DEPTH and _json_depth(text) > MAX_JSON_DEPTH:
        raise UnexpectedValueType("from_json() takes JSON that is not nested so deeply")
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
        if _NEEDS_CHECK.search(text):
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise UnexpectedValueType("from_json() takes JSON") from None
    return value


def _json_depth(text: str) -> int:
    depth = most = 0
    for bracket in _STRINGS_AND_BRACKETS.finditer(text):
        depth += 1 if bracket[1] else -1 if bracket[2] else 0
        most = max(most, depth)
    return most


def _refuse_constant(_name: str) -> Never:
    raise ValueError


def decode_base64(text: str | None) -> str | None:
    """Return the text whose UTF-8 is written in base64 or base64url, padded or not; None for null. Raises
    UnexpectedValueType.
    """
    if text is None:
        return None
    plain = text.translate(_FROM_BASE64URL).rstrip("=")
    try:
        return b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        raise UnexpectedValueType("from_base64() takes a text in base64") from None


def split_text(text: str | None, separator: str) -> list[str] | None:
    """Return the parts of a text between the separators; None for null. Raises UnexpectedValueType for an empty one."""
    if not separator:
        raise UnexpectedValueType("split() takes a separator")
    return None if text is None else text.split(separator)


def replace_text(text: str | None, old: str, new: str) -> str | None:
    """Return a text with another one in place of each occurrence; None for null. Raises UnexpectedValueType if there is
    nothing to look for.
    """
    if not old:
        raise UnexpectedValueType("replace() takes a text to look for")
    return None if text is None else text.replace(old, new)


TEXT_FUNCTIONS: Mapping[str, Callable[[str], str]] = {
    "lower": str.lower,
    "upper": str.upper,
    "trim": str.strip,
    "md5": hash_md5,
    "sha256": hash_sha256,
}
# Known in the expressions of `fields` in a mapping only.
LINKED = "linked"
STANDARD_FUNCTIONS = frozenset(Functions.FUNCTION_TABLE)
KNOWN_FUNCTIONS = (
    STANDARD_FUNCTIONS
    | frozenset(TEXT_FUNCTIONS)
    | {"date", "difference", "first_email", "from_base64", "from_json", "items", "replace", "split", "zip"}
)
