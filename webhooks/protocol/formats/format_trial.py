"""Try out a webhook format on a request: the value of each entry for each event, and the resulting event. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from webhooks.protocol.formats.event_reader import RequestReader, UnreadableEvent
from webhooks.protocol.formats.webhook_format import EVENT_TYPES, WebhookFormat

MAX_VALUE = 2_000
# Of a request; the others are counted.
MAX_EVENTS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class EntryValue:
    """The value of one entry of a webhook format as JSON, cut after 2,000 characters.

    If `is_empty`, the value is null. If `is_fault`, it makes the event unreadable.
    """

    name: str
    value: str
    is_empty: bool
    is_fault: bool


@dataclass(frozen=True, slots=True)
class EventTrial:
    """Result of a format trial for one event. `code` of the catalogue: why the event would not be delivered; "" if its
    routes decide. `meaning`: event type, entity type and id, in the hub's words; "" if the event is unreadable.
    """

    position: int
    code: str
    meaning: str
    values: tuple[EntryValue, ...]


@dataclass(frozen=True, slots=True)
class FormatTrial:
    """Result of a format trial for one request with `count` events. `events`: the results of the first 20."""

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
    """Read a request by a webhook format, as a received one is read. Raises MalformedBody if it has no list of
    events.
    """
    reader = RequestReader(webhook_format, body, headers, query_string, extra_id_characters)
    shown = reader.elements[:MAX_EVENTS_SHOWN]
    events = tuple(
        _try_event(webhook_format, reader, position, element) for position, element in enumerate(shown)
    )
    return FormatTrial(len(reader.elements), events)


def _try_event(
    webhook_format: WebhookFormat, reader: RequestReader, position: int, element: Any
) -> EventTrial:
    event_or_fault = reader.read_event(element)
    fault = event_or_fault.entry if isinstance(event_or_fault, UnreadableEvent) else ""
    values = tuple(
        _build_entry_value(name, reader.try_entry(entry, element), is_fault=name == fault)
        for name, entry in webhook_format.entries.items()
    )
    if isinstance(event_or_fault, UnreadableEvent):
        return EventTrial(position, event_or_fault.code, "", values)
    code = event_or_fault.ignore_code or ("" if event_or_fault.event_name in EVENT_TYPES else "ignored")
    return EventTrial(
        position,
        code,
        f"{event_or_fault.event_name} {event_or_fault.entity_type} {event_or_fault.entity_id}",
        values,
    )


def _build_entry_value(name: str, value: Any, *, is_fault: bool) -> EntryValue:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = ""
    return EntryValue(name, text[:MAX_VALUE], value is None, is_fault)
