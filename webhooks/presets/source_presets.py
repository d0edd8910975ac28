"""Presets of sources, one JSON file each: settings to copy, and recorded requests with the events that they are."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from config_schema.declared import Declared, nullable, setting
from config_schema.kinds import (
    AnyText,
    AnyValue,
    Boolean,
    Choice,
    Text,
    TextList,
    TextMap,
    WholeNumber,
)
from config_schema.objects import ListOf
from config_schema.preset_files import PresetMetadata, read_preset_files

MAX_SAMPLES = 10
MAX_EVENTS = 20
# Who makes the secret of a source.
HUB, SENDER = "hub", "sender"
MAX_TIME_LIMIT_SECONDS = 300
# Of a source: `Source.wait_seconds`.
MAX_WAIT_SECONDS = 30


class ExpectedEvent(Declared):
    """An event of a recorded request."""

    entity_id: str = setting(Text(), "The id of the entity.", name="id", example="u-1")
    entity_type: str = setting(Text(), "Its type.", example="USER")
    event_type: str = setting(Text(), "What happened.", example="UPDATE")
    occurred_at: str | None = nullable(Text(), "When, as RFC 3339 in UTC.", example="2026-01-01T00:00:00Z")
    event_id: str | None = nullable(Text(), "The sender's id of the event.", example="e-1")
    previous: Any = nullable(AnyValue(), "The overwritten values.", example={"email": "old@example.com"})
    data: Any = nullable(AnyValue(), "The entity.", example={"email": "new@example.com"})
    code: str = setting(
        AnyText(), "The code of an event that is stored and not delivered.", default="", example="filtered"
    )


class RecordedRequest(Declared):
    """A request as the sender makes it, without its credentials, and its events."""

    title: str = setting(Text(), "What happened at the sender.", example="A user changed their address")
    content_type: str = setting(
        Text(), "The media type of the body.", default="application/json", example="text/json"
    )
    headers: Mapping[str, str] = setting(
        TextMap(), "Headers that are read.", default={}, example={"X-Event": "changed"}
    )
    body: Any = nullable(AnyValue(), "The body, if the request has one.", example={"id": "u-1"})
    events: tuple[ExpectedEvent, ...] = nullable(
        ListOf(ExpectedEvent.kind, MAX_EVENTS),
        "The events that the request contains, in order. Without them, the request is acknowledged and creates no "
        "event.",
        absent=(),
        example=[{"id": "u-1", "entity_type": "USER", "event_type": "UPDATE"}],
    )
    is_test: bool = setting(
        Boolean(),
        "The sender makes this request to test the endpoint. It changes nothing.",
        name="test",
        default=False,
        example=True,
    )


class SourceFields(Declared):
    """Fields of a source that a preset sets."""

    scheme: str = setting(Text(), "The verification of the source.", example="bearer")
    scheme_settings: Any = nullable(AnyValue(), "Its options.", example={"header": "X-Signature"})
    handshake: Any = nullable(AnyValue(), "Its handshake.", example={"from": "header", "name": "x-challenge"})
    webhook_format: Any = nullable(AnyValue(), "Its webhook format.", example={"id": "event.user.id"})
    response_format: Any = nullable(AnyValue(), "The format of its answers.", example={"format": "empty"})
    extra_id_characters: str | None = nullable(Text(), "Further characters of its ids.", example="|")
    default_mode: str | None = nullable(
        Choice(("ack", "result")), "The content of its answers.", example="ack"
    )
    wait_seconds: int | None = nullable(
        WholeNumber(0, MAX_WAIT_SECONDS),
        "How many seconds an answer with the outcome may wait for it, less than `time_limit_seconds`.",
        example=2,
    )


class SourcePreset(PresetMetadata):
    """A known sender."""

    identity: tuple[str, ...] = nullable(
        TextList(),
        "The presets of the identity connections that fetch its entities, by name. Without it, any may.",
        absent=(),
        example=["keycloak-identity"],
    )
    secret_made_by: str = setting(
        Choice((HUB, SENDER)),
        "Who makes the secret: the hub does, and it is entered at the sender; or the sender, once it knows the "
        "endpoint.",
        default=HUB,
        example=SENDER,
    )
    time_limit_seconds: int | None = nullable(
        WholeNumber(1, MAX_TIME_LIMIT_SECONDS),
        "How many seconds the sender waits for an answer, as its documentation or source code says. Without it, "
        "neither says.",
        example=3,
    )
    source: SourceFields = setting(SourceFields.kind, "Fields of the source.", example={"scheme": "none"})
    samples: tuple[RecordedRequest, ...] = setting(
        ListOf(RecordedRequest.kind, MAX_SAMPLES), "Recorded requests of the sender.", example=[]
    )

    def copy_settings(self) -> dict[str, Any]:
        """Return a copy of the fields of a source that the preset sets."""
        return deepcopy(self.source.to_json())


# By the name of the file.
SOURCE_PRESETS: Mapping[str, SourcePreset] = read_preset_files(Path(__file__).parent, SourcePreset.kind)
