"""The body of a webhook as the contract has it: bytes in, a typed `Notice` or one `Malformed` out.

Nothing is trimmed or coerced: a value that is nearly right is refused and named by its pointer.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Any, Literal, TypeVar, cast, get_args

from webhooks.protocol import strict_json
from webhooks.protocol.strict_json import Malformed

Mode = Literal["ack", "result", "entity"]
_T = TypeVar("_T")

EXTRA_ID_CHARACTERS = ":@|+="
LONGEST_WAIT = timedelta(seconds=30)

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,63}")
_TIMESTAMP = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})"
    r"(?:\.([0-9]{1,9}))?(?:Z|([+-])([0-9]{2}):([0-9]{2}))"
)
_YEARS = range(1970, 2101)
_WIDEST_OFFSET = timedelta(hours=14)
_LARGEST_ID = 2**63 - 1
_LONGEST_EVENT_ID = 255
_MEMBERS = ("id", "entityType", "eventType", "timestamp", "eventId", "previous", "data", "respond")


@dataclass(frozen=True, slots=True)
class Respond:
    """How the sender asks to be answered. None stands for "not said"; `wait` is in seconds, 0 to 30."""

    mode: Mode | None = None
    wait: float | None = None
    fields: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """What a webhook says. Types and words are in upper case; `members` is the whole object as it was parsed.

    `occurred_at` is in UTC and keeps microseconds; `occurred_text` is what was sent, "" where nothing was.
    """

    entity_id: str
    entity_type: str
    event_word: str
    occurred_at: datetime | None
    occurred_text: str
    event_id: str | None
    previous: dict[str, Any] | None
    data: dict[str, Any] | None
    respond: Respond
    members: dict[str, Any]


def parse_notice(body: bytes, *, extra_id_characters: str = "") -> Notice:
    """The notice in `body`. `extra_id_characters` widens the entity's id by some of `:@|+=`.

    Raises `Malformed` with the first fault found, in the order of the contract's table; its pointer names
    only members that the contract knows, never a name made up by the sender. Raises `ValueError` for other
    extra characters: those are a fault of the source's settings.
    """
    id_pattern = _id_pattern(extra_id_characters)
    members = _object(body)
    timestamp = members.get("timestamp", "")
    return Notice(
        entity_id=_entity_id(_required(members, "id"), id_pattern),
        entity_type=_word(_required(members, "entityType"), "wrong-entity-type", "/entityType"),
        event_word=_word(_required(members, "eventType"), "wrong-event-type", "/eventType"),
        occurred_at=_optional(members, "timestamp", _instant),
        occurred_text=timestamp,
        event_id=_optional(members, "eventId", _event_id),
        previous=_optional(members, "previous", lambda value: _part(value, "wrong-previous", "/previous")),
        data=_optional(members, "data", lambda value: _part(value, "wrong-data", "/data")),
        respond=_optional(members, "respond", _respond) or Respond(),
        members=members,
    )


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = strict_json.parse(body)
    except Malformed as error:
        if error.pointer.removeprefix("/") in _MEMBERS:
            raise
        raise Malformed(error.code, offset=error.offset) from None
    if not isinstance(document, dict):
        raise Malformed("not-an-object")
    return document


def _required(members: Mapping[str, Any], name: str) -> Any:
    if name not in members:
        raise Malformed("missing-member", strict_json.pointer_to(name))
    return members[name]


def _optional(members: Mapping[str, Any], name: str, read: Callable[[Any], _T]) -> _T | None:
    return read(members[name]) if name in members else None


@lru_cache(maxsize=64)
def _id_pattern(extra: str) -> re.Pattern[str]:
    if not set(extra) <= set(EXTRA_ID_CHARACTERS):
        raise ValueError(f"An id can be widened only by characters of {EXTRA_ID_CHARACTERS}")
    last = rf"A-Za-z0-9_~\-{re.escape(extra)}"
    return re.compile(rf"[A-Za-z0-9](?:[{last}.]{{0,126}}[{last}])?")


def _entity_id(value: Any, pattern: re.Pattern[str]) -> str:
    match value:
        case bool():
            pass
        case int() if 0 <= value <= _LARGEST_ID:
            return str(value)
        case str() if pattern.fullmatch(value):
            return value
    raise Malformed("wrong-id", "/id")


def _word(value: Any, code: str, pointer: str) -> str:
    if isinstance(value, str) and _WORD.fullmatch(value):
        return value.upper()
    raise Malformed(code, pointer)


def _event_id(value: Any) -> str:
    if isinstance(value, str) and 0 < len(value) <= _LONGEST_EVENT_ID and value.isprintable():
        return value
    raise Malformed("wrong-event-id", "/eventId")


def _part(value: Any, code: str, pointer: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise Malformed(code, pointer)


def _instant(value: Any) -> datetime:
    """RFC 3339 as the contract narrows it. The year must be in range both as written and in UTC."""
    found = _TIMESTAMP.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise Malformed("wrong-timestamp", "/timestamp")
    try:
        year, month, day, hour, minute, second = map(int, found.group(1, 2, 3, 4, 5, 6))
        written = datetime(year, month, day, hour, minute, second, _microseconds(found[7]), _zone(found))
        instant = written.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Malformed("wrong-timestamp", "/timestamp") from None
    if written.year not in _YEARS or instant.year not in _YEARS:
        raise Malformed("wrong-timestamp", "/timestamp")
    return instant


def _microseconds(fraction: str | None) -> int:
    return int((fraction or "").ljust(6, "0")[:6])


def _zone(found: re.Match[str]) -> timezone:
    if found[8] is None:
        return UTC
    offset = timedelta(hours=int(found[9]), minutes=int(found[10]))
    if int(found[10]) > 59 or offset > _WIDEST_OFFSET:
        raise ValueError("offset out of range")
    return timezone(-offset if found[8] == "-" else offset)


def _respond(value: Any) -> Respond:
    """Words and members that are not known here are ignored, and so is a `wait` that is no whole number of
    milliseconds. `fields` of another shape are refused: to ignore them would answer more than was asked for.
    """
    match value:
        case str():
            return Respond(mode=_mode(value))
        case dict():
            return Respond(_mode(value.get("mode")), _wait(value.get("wait")), _fields(value.get("fields")))
    raise Malformed("wrong-respond", "/respond")


def _mode(value: Any) -> Mode | None:
    return cast(Mode, value) if isinstance(value, str) and value in get_args(Mode) else None


def _wait(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return None
    return min(value, LONGEST_WAIT // timedelta(milliseconds=1)) / 1000


def _fields(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return tuple(value)
    raise Malformed("wrong-respond", "/respond/fields")
