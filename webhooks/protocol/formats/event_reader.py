"""Read the events of a request by the webhook format of its source. Pure."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

from jmespath.exceptions import JMESPathError

from config_schema.expressions.expression_budget import MAX_BYTES, MAX_STEPS, ExpressionBudget, OverBudget
from webhooks.protocol.formats.body_reader import read_body
from webhooks.protocol.formats.webhook_format import (
    EVENT_TYPES,
    Constant,
    ExpressionOrConstant,
    WebhookFormat,
)
from webhooks.protocol.strict_json import MalformedBody
from webhooks.protocol.webhook_parser import (
    TYPE_NAME_CHARACTERS,
    ParsedWebhook,
    ResponsePreferences,
    id_pattern,
    parse_entity_id,
    parse_event_id,
    parse_timestamp,
    parse_type_name,
)

# How much larger the stored part of one event, and that of all events of a request, may be than what the sender sent.
MAX_ADDED_BYTES = 262_144
MAX_REQUEST_ADDED_BYTES = 4_194_304
# The entries `event`, `previous` and `data` of what is stored.
_MAX_COPIES = 3
# For all expressions over one request.
MAX_REQUEST_STEPS = 20 * MAX_STEPS
MAX_REQUEST_BYTES = 16 * MAX_BYTES

_MAX_QUERY_FIELDS = 50
_MAX_TYPE_NAME_LENGTH = 64
_MAX_TIME_DIGITS = 40
_MIN_TIME = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_TIME = datetime(2101, 1, 1, tzinfo=UTC)
# Raised by the encoder for a value that JSON cannot represent.
_ENCODING_ERRORS = (TypeError, ValueError, RecursionError)
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_SORTED_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True)


@dataclass(frozen=True, slots=True)
class UnreadableEvent:
    """An event of a request that is not a valid webhook.

    `code` is a code of the catalogue; it is `filtered` if the format's condition excludes the event anyway, and
    `type-not-handled` if the format does not map one of its types. `entry` is the entry of the webhook format that is
    at fault. `element` is the event as the sender sent it. `entity_id` is the id of its entity, if that could be read,
    and `entity_type` its type, if that could be read and is the sender's own word.
    """

    code: str
    entry: str = ""
    element: Any = None
    entity_id: str = ""
    entity_type: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class RequestEvents:
    """All events of one request, readable or not, in the order of the request."""

    events: Sequence[ParsedWebhook | UnreadableEvent]


def encode_unreadable_events(events: Sequence[Any]) -> bytes | None:
    """Return the unreadable events among these as JSON, with their positions and codes; None if there are none.

    An event that JSON cannot represent, because an expression made it, is stored as null.
    """
    unreadable = [
        {
            "position": position,
            "code": event.code,
            # An erasure searches for it, and an expression may have made it of several parts of the event.
            **({"id": event.entity_id} if event.entity_id else {}),
            "event": _storable_element(event.element),
        }
        for position, event in enumerate(events)
        if isinstance(event, UnreadableEvent)
    ]
    return _ENCODER.encode(unreadable).encode() if unreadable else None


def _storable_element(element: Any) -> Any:
    try:
        _ENCODER.encode(element).encode()
    except _ENCODING_ERRORS:
        return None
    return element


class _UnreadableEntry(Exception):
    """An entry of the webhook format gives no usable value. `code` is one of the catalogue."""

    def __init__(self, code: str, entry: str) -> None:
        super().__init__(code, entry)
        self.code = code
        self.entry = entry


def read_request(
    webhook_format: WebhookFormat,
    body: bytes,
    *,
    headers: Mapping[str, str],
    query_string: str,
    extra_id_characters: str = "",
) -> RequestEvents:
    """Read the events of a request. Values that the format drops are removed before anything is read.

    Its header `content-type` decides how its body is read. Raises MalformedBody if the body is malformed, or is empty
    and may not be, if the entry `events` gives no list (`wrong-events`) or one of more events than the format allows
    (`too-many-events`).
    """
    reader = RequestReader(webhook_format, body, headers, query_string, extra_id_characters)
    events = [reader.read_event(element) for element in reader.elements]
    if len(events) == 1:
        events = [_with_whole_body(events[0], reader.document, reader.elements[0], body)]
    return RequestEvents(events)


def _parse_query(query_string: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(query_string, keep_blank_values=True, max_num_fields=_MAX_QUERY_FIELDS))
    except ValueError:
        return {}


def _with_whole_body(
    event: ParsedWebhook | UnreadableEvent, document: Any, element: Any, body: bytes
) -> ParsedWebhook | UnreadableEvent:
    """Return the only event of a request with the whole body of the request added.

    The digest of an event from a list stays that of its element: a sender may send it again together with others.
    """
    if isinstance(event, UnreadableEvent):
        return event
    if element is document:
        # All requests without a body would have one digest: what was read from their headers tells them apart.
        content = body or event.stored_body or b""
        return replace(event, digest=hashlib.sha256(content).digest())
    whole = {**event.document, "body": document}
    return replace(event, document=whole, stored_body=_ENCODER.encode(whole).encode())


class RequestReader:
    """Reader of single events of one request.

    `document` is the body without the dropped values, and `elements` are its events as the sender sent them. Raises
    MalformedBody if the body is malformed or has no valid list of events.
    """

    def __init__(
        self,
        webhook_format: WebhookFormat,
        body: bytes,
        headers: Mapping[str, str],
        query_string: str,
        extra_id_characters: str,
    ) -> None:
        self._format = webhook_format
        self._body_bytes = len(body)
        self.document = read_body(webhook_format, body, headers.get("content-type", ""))
        self._context = {"body": self.document, "headers": headers, "query": _parse_query(query_string)}
        self._budget = ExpressionBudget(MAX_REQUEST_STEPS, MAX_REQUEST_BYTES)
        self._added_bytes = 0
        self._id_pattern = id_pattern(extra_id_characters)
        self.elements = self._find_elements()

    def _find_elements(self) -> list[Any]:
        try:
            elements = _evaluate_in_context("events", self._format.events, self._context, self._budget)
        except _UnreadableEntry as failed:
            raise MalformedBody(failed.code) from None
        if not isinstance(elements, list):
            raise MalformedBody("wrong-events")
        if len(elements) > self._format.max_events:
            raise MalformedBody("too-many-events")
        return elements

    def try_entry(self, entry: ExpressionOrConstant, element: Any) -> Any:
        """Evaluate one entry of the format for an event. Returns None if the expression fails. Used to try out a
        format.
        """
        try:
            return _evaluate_in_context("", entry, {**self._context, "event": element}, self._budget)
        except _UnreadableEntry:
            return None

    def read_event(self, element: Any) -> ParsedWebhook | UnreadableEvent:
        """Parse one element of `events` into a webhook. Returns an UnreadableEvent with the reason if it is not
        valid.
        """
        context = {**self._context, "event": element}
        is_filtered = False
        try:
            when = self._format.when
            is_filtered = when is not None and not is_truthy(self._evaluate_entry("when", when, context))
            return self._read_webhook(element, context, is_filtered=is_filtered)
        except _UnreadableEntry as failed:
            if is_filtered:
                return UnreadableEvent("filtered", element=element)
            entity_type, is_known_type = self._try_types(context)
            if not is_known_type:
                return UnreadableEvent("type-not-handled", element=element)
            return UnreadableEvent(failed.code, failed.entry, element, entity_type=entity_type)

    def _try_types(self, context: Mapping[str, Any]) -> tuple[str, bool]:
        """Return the entity type of an event that cannot be read, "" without one or if the format states it, and False
        if the format maps its entity type or its event type to none of the hub's.
        """
        entity_type, is_known_type = "", True
        with suppress(_UnreadableEntry):
            entity_type, is_known_type = self._read_entity_type(context)
        with suppress(_UnreadableEntry):
            is_known_type = self._read_event_type(context) in EVENT_TYPES and is_known_type
        is_stated = self._format.entity_types is not None or isinstance(self._format.entity_type, Constant)
        return "" if is_stated else entity_type, is_known_type

    def _read_webhook(self, element: Any, context: Mapping[str, Any], *, is_filtered: bool) -> ParsedWebhook:
        entity_id = self._parse_entry("id", self._format.entity_id, context, self._parse_entity_id)
        entity_type, is_known_type = self._read_entity_type(context)
        event_type = self._read_event_type(context)
        occurred_at, occurred_text = self._read_time(context)
        event_id = self._parse_optional_entry("event_id", self._format.event_id, context, _parse_event_id)
        previous = self._parse_optional_entry("previous", self._format.previous, context, _require_object)
        data = self._parse_optional_entry("data", self._format.data, context, _require_object)
        optional_fields = {
            "timestamp": occurred_at and occurred_at.isoformat().replace("+00:00", "Z"),
            "eventId": event_id,
            "previous": previous,
            "data": data,
        }
        document = {
            "id": entity_id,
            "entityType": entity_type,
            "eventType": event_type,
            **{name: value for name, value in optional_fields.items() if value is not None},
            "event": element,
        }
        try:
            stored_body = _ENCODER.encode(document).encode()
        except _ENCODING_ERRORS:
            raise _UnreadableEntry("format-error", "data") from None
        sent_content = _SORTED_ENCODER.encode(element).encode()
        # The entries of the only event may be any parts of the body.
        sent_size = max(len(sent_content), self._body_bytes if len(self.elements) == 1 else 0)
        self._count_added_bytes(len(stored_body) - _MAX_COPIES * sent_size)
        return ParsedWebhook(
            entity_id=entity_id,
            entity_type=entity_type,
            event_name=event_type,
            occurred_at=occurred_at,
            occurred_text=occurred_text,
            event_id=event_id,
            previous=previous,
            data=data,
            respond=ResponsePreferences(),
            document=document,
            stored_body=stored_body,
            digest=hashlib.sha256(sent_content).digest(),
            ignore_code="filtered" if is_filtered else "" if is_known_type else "ignored",
        )

    def _count_added_bytes(self, added: int) -> None:
        """Raise _UnreadableEntry if a format stores much more than was sent, such as the whole body for each event."""
        if added > MAX_ADDED_BYTES or self._added_bytes + max(added, 0) > MAX_REQUEST_ADDED_BYTES:
            raise _UnreadableEntry("format-error", "data")
        self._added_bytes += max(added, 0)

    def _read_entity_type(self, context: Mapping[str, Any]) -> tuple[str, bool]:
        """Return the entity type, and True if the source's map of entity types has it, or if the source has no map."""
        name = self._require_type_name("entity_type", self._format.entity_type, context)
        if self._format.entity_types is None:
            return _parse_type_name(name, "wrong-entity-type", "entity_type"), True
        mapped_type = self._format.entity_types.get(name.upper())
        return (mapped_type, True) if mapped_type is not None else (_storable_type_name(name), False)

    def _read_event_type(self, context: Mapping[str, Any]) -> str:
        name = self._require_type_name("event_type", self._format.event_type, context)
        mapped_type = self._format.event_types.get(name.upper())
        if mapped_type is not None:
            return mapped_type
        return name.upper() if name.upper() in EVENT_TYPES else _storable_type_name(name)

    def _read_time(self, context: Mapping[str, Any]) -> tuple[datetime | None, str]:
        value = self._evaluate_entry("occurred_at", self._format.occurred_at, context)
        if value is None:
            return None, ""
        if self._format.time_format == "rfc3339":
            try:
                return parse_timestamp(value), str(value)
            except MalformedBody as error:
                raise _UnreadableEntry(error.code, "occurred_at") from None
        unit = 1 if self._format.time_format == "seconds" else 1000
        return _parse_epoch(value, unit), str(value)[:_MAX_TIME_DIGITS]

    def _require_type_name(self, name: str, entry: ExpressionOrConstant, context: Mapping[str, Any]) -> str:
        value = self._evaluate_entry(name, entry, context)
        if value is None:
            raise _UnreadableEntry("missing-member", name)
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            raise _UnreadableEntry(f"wrong-{name.replace('_', '-')}", name)
        return str(value)

    def _parse_entity_id(self, value: Any) -> str:
        return parse_entity_id(value, self._id_pattern)

    def _parse_entry(
        self, name: str, entry: ExpressionOrConstant, context: Mapping[str, Any], parse: Any
    ) -> Any:
        value = self._evaluate_entry(name, entry, context)
        if value is None:
            raise _UnreadableEntry("missing-member", name)
        try:
            return parse(value)
        except MalformedBody as error:
            raise _UnreadableEntry(error.code, name) from None

    def _parse_optional_entry(
        self, name: str, entry: ExpressionOrConstant, context: Mapping[str, Any], parse: Any
    ) -> Any:
        value = self._evaluate_entry(name, entry, context)
        if value is None:
            return None
        try:
            return parse(value)
        except MalformedBody as error:
            code = f"wrong-{name}" if error.code == "not-an-object" else error.code
            raise _UnreadableEntry(code, name) from None

    def _evaluate_entry(self, name: str, entry: ExpressionOrConstant, context: Mapping[str, Any]) -> Any:
        return _evaluate_in_context(name, entry, context, self._budget)


def is_truthy(value: Any) -> bool:
    """Return True unless JMESPath takes the value for false: null, false, and empty texts, lists and objects. 0 is
    true.
    """
    return value is not None and value is not False and value not in ("", [], {})


def _evaluate_in_context(
    name: str, entry: ExpressionOrConstant, context: Mapping[str, Any], budget: ExpressionBudget
) -> Any:
    try:
        return entry.evaluate(context, budget)
    except (JMESPathError, OverBudget):
        raise _UnreadableEntry("format-error", name) from None


def _parse_type_name(word: str, code: str, entry: str) -> str:
    try:
        return parse_type_name(word, code, "")
    except MalformedBody as error:
        raise _UnreadableEntry(error.code, entry) from None


def _parse_event_id(value: Any) -> str:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return parse_event_id(str(value) if is_number else value)


def _require_object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MalformedBody("not-an-object")
    return value


def _parse_epoch(value: Any, units_a_second: int) -> datetime:
    """Parse a number, or a text of digits, of units since 1970-01-01 UTC. Raises _UnreadableEntry outside 1970 to
    2100.
    """
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _MAX_TIME_DIGITS:
        value = int(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            at = _MIN_TIME + timedelta(seconds=value / units_a_second)
        except (OverflowError, ValueError):
            at = _LATEST_TIME
        if _MIN_TIME <= at < _LATEST_TIME:
            return at
    raise _UnreadableEntry("wrong-timestamp", "occurred_at")


def _storable_type_name(word: str) -> str:
    """Convert a sender's unmapped word for storage: other characters become `_`, and it is cut to 64."""
    storable = "".join(character if character in TYPE_NAME_CHARACTERS else "_" for character in word)
    return storable[:_MAX_TYPE_NAME_LENGTH].upper()
