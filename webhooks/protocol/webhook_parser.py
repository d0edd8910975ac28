"""Parse the body of a webhook into a typed `ParsedWebhook`.

Nothing is trimmed or converted: a value that is nearly right is refused with its JSON pointer.
"""

import re
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Any, Literal, TypeVar, cast, get_args

from webhooks.protocol import strict_json
from webhooks.protocol.strict_json import MalformedBody

Mode = Literal["ack", "result", "entity"]
_T = TypeVar("_T")

EXTRA_ID_CHARACTERS = ":@|+="
MAX_WAIT = timedelta(seconds=30)

TYPE_NAME_CHARACTERS = frozenset(string.ascii_letters + string.digits + "_.:-")
TYPE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,63}")
_TIMESTAMP = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})"
    r"(?:\.([0-9]{1,9}))?(?:Z|([+-])([0-9]{2}):([0-9]{2}))"
)
_YEARS = range(1970, 2101)
_WIDEST_OFFSET = timedelta(hours=14)
_MAX_ID = 2**63 - 1
_MAX_EVENT_ID_LENGTH = 255
_FIELDS = ("id", "entityType", "eventType", "timestamp", "eventId", "previous", "data", "respond")


@dataclass(frozen=True, slots=True)
class ResponsePreferences:
    """The answer that the sender asks for. None means that it did not say; `wait_seconds` is 0 to 30."""

    mode: Mode | None = None
    wait_seconds: float | None = None
    fields: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class ParsedWebhook:
    """A parsed webhook. Types are in upper case; `document` is the whole JSON object.

    `occurred_at` is in UTC with microseconds; `occurred_text` is the timestamp as sent, "" if there was none.
    `event_name` is the sender's name of the event type, or what its format maps the name to. `stored_body` is what is
    stored instead of the request's body, None if that is stored as it came; `digest` identifies the content of the
    event then. `ignore_code`: the code with which the event is stored and not delivered, because its source's format
    excludes it; "" if it is delivered.
    """

    entity_id: str
    entity_type: str
    event_name: str
    occurred_at: datetime | None
    occurred_text: str
    event_id: str | None
    previous: dict[str, Any] | None
    data: dict[str, Any] | None
    respond: ResponsePreferences
    document: dict[str, Any]
    stored_body: bytes | None = None
    digest: bytes | None = None
    ignore_code: str = ""


class InvalidWebhook(MalformedBody):
    """A JSON object that is not a valid webhook. `entity_type` and `event_name` are its types in upper case, "" if they
    are missing or invalid.
    """

    def __init__(self, fault: MalformedBody, document: Mapping[str, Any]) -> None:
        super().__init__(fault.code, fault.pointer, fault.offset)
        self.entity_type = _read_type_name(document, "entityType")
        self.event_name = _read_type_name(document, "eventType")


def parse_webhook(body: bytes, *, extra_id_characters: str = "") -> ParsedWebhook:
    """Parse a webhook's body. `extra_id_characters` allows some of `:@|+=` in the entity's id.

    Raises MalformedBody with the first fault in a fixed order; its pointer names only fields that the format has, never
    a name that the sender made up. If the body is a JSON object, that is an InvalidWebhook. Raises ValueError if other
    extra characters are configured.
    """
    pattern = id_pattern(extra_id_characters)
    document = _parse_object(body)
    try:
        return _read_fields(document, pattern)
    except MalformedBody as fault:
        raise InvalidWebhook(fault, document) from None


def _read_type_name(document: Mapping[str, Any], name: str) -> str:
    try:
        return parse_type_name(document.get(name), "", "")
    except MalformedBody:
        return ""


def _read_fields(document: dict[str, Any], pattern: re.Pattern[str]) -> ParsedWebhook:
    timestamp = document.get("timestamp", "")
    return ParsedWebhook(
        entity_id=parse_entity_id(_require_field(document, "id"), pattern),
        entity_type=parse_type_name(
            _require_field(document, "entityType"), "wrong-entity-type", "/entityType"
        ),
        event_name=parse_type_name(_require_field(document, "eventType"), "wrong-event-type", "/eventType"),
        occurred_at=_read_optional(document, "timestamp", parse_timestamp),
        occurred_text=timestamp,
        event_id=_read_optional(document, "eventId", parse_event_id),
        previous=_read_optional(
            document, "previous", lambda value: _require_object(value, "wrong-previous", "/previous")
        ),
        data=_read_optional(document, "data", lambda value: _require_object(value, "wrong-data", "/data")),
        respond=_read_optional(document, "respond", _parse_preferences) or ResponsePreferences(),
        document=document,
    )


def _parse_object(body: bytes) -> dict[str, Any]:
    try:
        document = strict_json.parse_json(body)
    except MalformedBody as error:
        # Any other pointer would repeat a name that the sender made up.
        if error.pointer.removeprefix("/") in _FIELDS:
            raise
        raise MalformedBody(error.code, offset=error.offset) from None
    if not isinstance(document, dict):
        raise MalformedBody("not-an-object")
    return document


def _require_field(members: Mapping[str, Any], name: str) -> Any:
    if name not in members:
        raise MalformedBody("missing-member", strict_json.field_pointer(name))
    return members[name]


def _read_optional(members: Mapping[str, Any], name: str, read: Callable[[Any], _T]) -> _T | None:
    return read(members[name]) if name in members else None


@lru_cache(maxsize=64)
def id_pattern(extra: str) -> re.Pattern[str]:
    """Return the pattern of ids that may contain these extra characters. Raises ValueError for others."""
    if not set(extra) <= set(EXTRA_ID_CHARACTERS):
        raise ValueError(f"An id can be widened only by characters of {EXTRA_ID_CHARACTERS}")
    last = rf"A-Za-z0-9_~\-{re.escape(extra)}"
    # Begins with no dot: an id that becomes part of a path is never a relative segment such as `..`. Random ids may
    # begin with `_` or `-`.
    return re.compile(rf"[A-Za-z0-9_-](?:[{last}.]{{0,126}}[{last}])?")


def parse_entity_id(value: Any, pattern: re.Pattern[str]) -> str:
    """Return an entity's id as text. Raises MalformedBody."""
    match value:
        # Before int, because bool is a subclass of it.
        case bool():
            pass
        case int() if 0 <= value <= _MAX_ID:
            return str(value)
        case str() if pattern.fullmatch(value):
            return value
    raise MalformedBody("wrong-id", "/id")


def parse_type_name(value: Any, code: str, pointer: str) -> str:
    """Return the name of a type in upper case. Raises MalformedBody with this code and pointer."""
    if isinstance(value, str) and TYPE_NAME.fullmatch(value):
        return value.upper()
    raise MalformedBody(code, pointer)


def parse_event_id(value: Any) -> str:
    """Return the source's id of an event. Raises MalformedBody."""
    if isinstance(value, str) and 0 < len(value) <= _MAX_EVENT_ID_LENGTH and value.isprintable():
        return value
    raise MalformedBody("wrong-event-id", "/eventId")


def _require_object(value: Any, code: str, pointer: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise MalformedBody(code, pointer)


def parse_timestamp(value: Any) -> datetime:
    """Parse a timestamp of RFC 3339 into UTC. The year must be 1970 to 2100 both as written and in UTC."""
    match = _TIMESTAMP.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise MalformedBody("wrong-timestamp", "/timestamp")
    try:
        year, month, day, hour, minute, second = map(int, match.group(1, 2, 3, 4, 5, 6))
        written = datetime(
            year, month, day, hour, minute, second, _parse_microseconds(match[7]), _parse_offset(match)
        )
        instant = written.astimezone(UTC)
    except (ValueError, OverflowError):
        raise MalformedBody("wrong-timestamp", "/timestamp") from None
    if written.year not in _YEARS or instant.year not in _YEARS:
        raise MalformedBody("wrong-timestamp", "/timestamp")
    return instant


def _parse_microseconds(fraction: str | None) -> int:
    # Nine digits are valid, but the database stores microseconds.
    return int((fraction or "").ljust(6, "0")[:6])


def _parse_offset(match: re.Match[str]) -> timezone:
    if match[8] is None:
        return UTC
    offset = timedelta(hours=int(match[9]), minutes=int(match[10]))
    if int(match[10]) > 59 or offset > _WIDEST_OFFSET:
        raise ValueError("offset out of range")
    return timezone(-offset if match[8] == "-" else offset)


def _parse_preferences(value: Any) -> ResponsePreferences:
    """Parse the `respond` field. Unknown values and fields are ignored, as is a `wait` that is not a whole number of
    milliseconds. Invalid `fields` are refused: to ignore them would answer more than was asked for.
    """
    match value:
        case str():
            return ResponsePreferences(mode=_parse_mode(value))
        case dict():
            return ResponsePreferences(
                _parse_mode(value.get("mode")),
                _parse_wait(value.get("wait")),
                _parse_field_names(value.get("fields")),
            )
    raise MalformedBody("wrong-respond", "/respond")


def _parse_mode(value: Any) -> Mode | None:
    return cast(Mode, value) if isinstance(value, str) and value in get_args(Mode) else None


def _parse_wait(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return None
    return min(value, MAX_WAIT // timedelta(milliseconds=1)) / 1000


def _parse_field_names(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return tuple(value)
    raise MalformedBody("wrong-respond", "/respond/fields")
