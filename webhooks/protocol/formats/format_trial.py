"""Try a webhook format out on a request: which value each entry gives for each event, and what becomes of it. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from webhooks.protocol.formats.event_reader import RequestReader, UnreadableEvent
from webhooks.protocol.formats.webhook_format import EVENT_TYPES, FormatEntry, WebhookFormat

MAX_VALUE = 2_000
# Of a request; the others are counted.
MAX_EVENTS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class EntryValue:
    """The value of one entry as JSON, cut after 2,000 characters. `is_empty`: it gives null. `is_fault`: the event
    cannot be read because of it.
    """

    name: str
    value: str
    is_empty: bool
    is_fault: bool


@dataclass(frozen=True, slots=True)
class EventTrial:
    """The trial result of one event. `code`: why it is not delivered, a code of the catalogue; "" if routes decide.
    `meaning`: its event type, entity type and id, as the words of the format are understood; "" if it cannot be read.
    """

    position: int
    code: str
    meaning: str
    values: tuple[EntryValue, ...]


@dataclass(frozen=True, slots=True)
class FormatTrial:
    """The trial result of a request. `events` are the first ones of `count`."""

    count: int
    events: tuple[EventTrial, ...]


def try_format(
    webhook_format: WebhookFormat,
    body: bytes,
    *,
    headers: Mapping[str, str],
    query_string: str,
    extra_id_characters: str = "",
) -> FormatTrial:
    """Read a request by a format as receiving does. Raises MalformedBody if it has no list of events."""
    reader = RequestReader(webhook_format, body, headers, query_string, extra_id_characters)
    shown = reader.elements[:MAX_EVENTS_SHOWN]
    events = tuple(
        _try_event(webhook_format, reader, position, element) for position, element in enumerate(shown)
    )
    return FormatTrial(len(reader.elements), events)


def _try_event(
    webhook_format: WebhookFormat, reader: RequestReader, position: int, element: Any
) -> EventTrial:
    read = reader.read_event(element)
    fault = read.entry if isinstance(read, UnreadableEvent) else ""
    values = tuple(
        _show_value(name, reader.evaluate(entry, element), is_fault=name == fault)
        for name, entry in _entries(webhook_format).items()
    )
    if isinstance(read, UnreadableEvent):
        return EventTrial(position, read.code, "", values)
    code = read.ignored_as or ("" if read.event_word in EVENT_TYPES else "ignored")
    return EventTrial(position, code, f"{read.event_word} {read.entity_type} {read.entity_id}", values)


def _entries(webhook_format: WebhookFormat) -> dict[str, FormatEntry]:
    condition = {} if webhook_format.when is None else {"when": webhook_format.when}
    return {
        **condition,
        "id": webhook_format.entity_id,
        "entity_type": webhook_format.entity_type,
        "event_type": webhook_format.event_type,
        "occurred_at": webhook_format.occurred_at,
        "event_id": webhook_format.event_id,
        "previous": webhook_format.previous,
        "data": webhook_format.data,
    }


def _show_value(name: str, value: Any, *, is_fault: bool) -> EntryValue:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = ""
    return EntryValue(name, text[:MAX_VALUE], value is None, is_fault)
