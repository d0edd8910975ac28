"""Presets of sources, one JSON file each: settings to copy, and recorded requests with the events that they are."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config_schema.kinds import AnyText, AnyValue, Choice, Text, TextMap
from config_schema.objects import ListOf, Object
from config_schema.preset_files import METADATA_SETTINGS, PresetMetadata, read_metadata, read_preset_files
from config_schema.settings import Setting, SettingValues, defaulted, optional, required

MAX_SAMPLES = 10
MAX_EVENTS = 20


@dataclass(frozen=True, slots=True)
class ExpectedEvent:
    """An event of a recorded request. `occurred_at` is RFC 3339 in UTC, None if absent. `code`: that of an event
    which is stored and not delivered, otherwise "".
    """

    entity_id: str
    entity_type: str
    event_type: str
    occurred_at: str | None
    event_id: str | None
    previous: Any
    data: Any
    code: str


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """A request as the sender makes it, without its credentials, and its events. `body` is None if it has
    none.
    """

    title: str
    content_type: str
    headers: Mapping[str, str]
    body: Any | None
    events: tuple[ExpectedEvent, ...]


@dataclass(frozen=True, slots=True)
class SourcePreset:
    """A known sender. `settings` are fields of a source: use `copy_settings`."""

    metadata: PresetMetadata
    settings: Mapping[str, Any]
    samples: tuple[RecordedRequest, ...]

    def copy_settings(self) -> dict[str, Any]:
        """Return a copy of the fields of a source that the preset sets."""
        return deepcopy(dict(self.settings))


_OBJECT = AnyValue()
_FIELDS: tuple[Setting[Any], ...] = (
    required("scheme", Text(), "The verification of the source.", example="bearer"),
    optional("scheme_settings", _OBJECT, "Its options.", example={"header": "X-Signature"}),
    optional("handshake", _OBJECT, "Its handshake.", example={"from": "header", "name": "x-challenge"}),
    optional("webhook_format", _OBJECT, "Its webhook format.", example={"id": "event.user.id"}),
    optional("response_format", _OBJECT, "The format of its answers.", example={"format": "empty"}),
    optional("extra_id_characters", Text(), "Further characters of its ids.", example="|"),
    optional("default_mode", Choice(("ack", "result")), "The content of its answers.", example="ack"),
)


def _given_settings(values: SettingValues) -> Mapping[str, Any]:
    return {setting.name: values[setting] for setting in _FIELDS if values.is_given(setting)}


_ID = required("id", Text(), "The id of the entity.", example="u-1")
_ENTITY_TYPE = required("entity_type", Text(), "Its type.", example="USER")
_EVENT_TYPE = required("event_type", Text(), "What happened.", example="UPDATE")
_OCCURRED_AT = optional("occurred_at", Text(), "When, in UTC.", example="2026-01-01T00:00:00Z")
_EVENT_ID = optional("event_id", Text(), "The sender's id of the event.", example="e-1")
_PREVIOUS = optional("previous", _OBJECT, "The overwritten values.", example={"email": "old@example.com"})
_DATA = optional("data", _OBJECT, "The entity.", example={"email": "new@example.com"})
_CODE = defaulted("code", AnyText(), "", "The code of an event that is not delivered.", example="filtered")


def _build_event(values: SettingValues) -> ExpectedEvent:
    return ExpectedEvent(
        values[_ID],
        values[_ENTITY_TYPE],
        values[_EVENT_TYPE],
        values[_OCCURRED_AT],
        values[_EVENT_ID],
        values[_PREVIOUS],
        values[_DATA],
        values[_CODE],
    )


_TITLE = required("title", Text(), "What happened at the sender.", example="A user changed their address")
_CONTENT_TYPE = defaulted(
    "content_type", Text(), "application/json", "The media type of the body.", example="text/json"
)
_HEADERS = defaulted("headers", TextMap(), {}, "Headers that are read.", example={"X-Event": "changed"})
_BODY = optional("body", _OBJECT, "The body, if the request has one.", example={"id": "u-1"})
_EVENTS = optional(
    "events",
    ListOf(
        Object(
            (_ID, _ENTITY_TYPE, _EVENT_TYPE, _OCCURRED_AT, _EVENT_ID, _PREVIOUS, _DATA, _CODE), _build_event
        ),
        MAX_EVENTS,
    ),
    "The events that the request contains, in order. Without them, the request is acknowledged and creates no event.",
    example=[{"id": "u-1", "entity_type": "USER", "event_type": "UPDATE"}],
)


def _build_sample(values: SettingValues) -> RecordedRequest:
    events = values[_EVENTS]
    return RecordedRequest(
        values[_TITLE], values[_CONTENT_TYPE], values[_HEADERS], values[_BODY], tuple(events or ())
    )


_SOURCE = required(
    "source", Object(_FIELDS, _given_settings), "Fields of the source.", example={"scheme": "none"}
)
_SAMPLES = required(
    "samples",
    ListOf(Object((_TITLE, _CONTENT_TYPE, _HEADERS, _BODY, _EVENTS), _build_sample), MAX_SAMPLES),
    "Recorded requests of the sender.",
    example=[],
)


def _build_preset(values: SettingValues) -> SourcePreset:
    return SourcePreset(read_metadata(values), values[_SOURCE], tuple(values[_SAMPLES]))


SOURCE_PRESET = Object((*METADATA_SETTINGS, _SOURCE, _SAMPLES), _build_preset)

# By the name of the file.
SOURCE_PRESETS: Mapping[str, SourcePreset] = read_preset_files(Path(__file__).parent, SOURCE_PRESET)
