"""A webhook format reads the events of real senders, and nothing hostile gets through it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from config_schema.errors import SettingsInvalid
from tests.support.rows import each_row
from webhooks.protocol.formats.body_reader import remove_dropped_values
from webhooks.protocol.formats.event_reader import (
    RequestEvents,
    UnreadableEvent,
    read_request,
)
from webhooks.protocol.formats.webhook_format import DEFAULT_MAX_EVENTS, JSON_TYPE, WebhookFormat
from webhooks.protocol.strict_form import FORM_TYPE
from webhooks.protocol.strict_json import MalformedBody
from webhooks.protocol.webhook_parser import ParsedWebhook

pytestmark = pytest.mark.pure

SMALL = {"entityType": "USER", "eventType": "UPDATE"}
DIRECTUS: dict[str, Any] = {
    "events": "body.keys || [body.key]",
    "id": "event",
    "entity_type": "body.collection",
    "entity_types": {"directus_users": "USER", "directus_roles": "GROUP"},
    "event_type": "body.event",
    "event_types": {"users.create": "CREATE", "users.update": "UPDATE", "users.delete": "DELETE"},
    "drop": ["payload.password"],
}


def read(webhook_format: Any, body: Any, **changed: Any) -> RequestEvents:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    options = {"headers": {}, "query_string": ""} | changed
    return read_request(WebhookFormat.kind.read(webhook_format, ()), raw, **options)


def webhook(event: ParsedWebhook | UnreadableEvent) -> ParsedWebhook:
    assert isinstance(event, ParsedWebhook), event
    return event


def test_a_bulk_edit_of_directus_is_one_event_for_each_user_without_the_password() -> None:
    body = {
        "event": "users.update",
        "collection": "directus_users",
        "payload": {"title": "Dr", "password": "in-clear"},
        "keys": ["60f408d6", "68be4348"],
    }
    events = read(DIRECTUS, body).events
    assert [webhook(event).entity_id for event in events] == ["60f408d6", "68be4348"]
    assert {webhook(event).entity_type for event in events} == {"USER"}
    unknown = {"event": "files.upload", "collection": "directus_files", "key": "149b8bd6"}
    event = webhook(read(DIRECTUS, unknown).events[0])
    assert (event.entity_type, event.event_name) == ("DIRECTUS_FILES", "FILES.UPLOAD")
    assert event.ignore_code == "ignored"
    single = webhook(read(DIRECTUS, body | {"keys": ["60f408d6"]}).events[0])
    stored = json.loads(single.stored_body or b"")
    assert stored["body"]["payload"] == {"title": "Dr"}
    assert b"in-clear" not in (single.stored_body or b"")


def test_the_parts_of_an_event_can_come_from_headers_and_the_query() -> None:
    form = {
        "id": 'headers."x-goog-resource-id"',
        "entity_type": {"constant": "USER"},
        "event_type": "query.kind",
        "event_id": 'headers."x-goog-message-number"',
    }
    event = webhook(
        read(
            form,
            {},
            headers={"x-goog-resource-id": "abc", "x-goog-message-number": "10"},
            query_string="kind=update&kind=ignored-first",
        ).events[0]
    )
    assert (event.entity_id, event.event_id) == ("abc", "10")


@each_row(
    [
        ("milliseconds", "1619025943000", datetime(2021, 4, 21, 17, 25, 43, tzinfo=UTC)),
        ("seconds", 1619025943.5, datetime(2021, 4, 21, 17, 25, 43, 500000, UTC)),
        ("seconds", None, None),
    ]
)
def test_times_are_read_in_the_unit_of_the_format(unit: str, value: Any, expected: datetime | None) -> None:
    form = {"occurred_at": "event.time", "time_format": unit}
    event = webhook(
        read(form, {"id": 1, "entityType": "USER", "eventType": "UPDATE", "time": value}).events[0]
    )
    assert event.occurred_at == expected


@each_row([True, -1, 10**18, "soon", "²", [], 4102444800 * 1000, 1e308])
def test_an_invalid_time_is_refused(value: Any) -> None:
    form = {"occurred_at": "event.time", "time_format": "seconds"}
    event = read(form, {"id": "a", "entityType": "USER", "eventType": "UPDATE", "time": value}).events[0]
    assert event == UnreadableEvent("wrong-timestamp", "occurred_at", event.element)  # type: ignore[union-attr]


@each_row(
    [
        ({"id": None}, "missing-member", "id"),
        ({"id": "../admin"}, "wrong-id", "id"),
        ({"id": True}, "wrong-id", "id"),
        ({"entityType": "no spaces"}, "wrong-entity-type", "entity_type"),
        ({"eventType": {}}, "wrong-event-type", "event_type"),
        ({"eventId": "x" * 256}, "wrong-event-id", "event_id"),
        ({"eventId": "line\nbreak"}, "wrong-event-id", "event_id"),
        ({"previous": "old"}, "wrong-previous", "previous"),
        ({"data": [1]}, "wrong-data", "data"),
        ({"timestamp": "yesterday"}, "wrong-timestamp", "occurred_at"),
    ]
)
def test_a_value_that_is_wrong_names_its_entry(changed: dict[str, Any], code: str, entry: str) -> None:
    body = {"id": "a", "entityType": "USER", "eventType": "UPDATE"} | changed
    event = read({"when": "`true`"}, body).events[0]
    assert isinstance(event, UnreadableEvent)
    assert (event.code, event.entry) == (code, entry)


@each_row(["[@,@]|[@,@]|" * 20 + "[@,@]", "sum(body)", "to_string(&body)", "{key: &id}"])
def test_an_expression_that_fails_or_costs_too_much_is_a_fault_of_the_format(expression: str) -> None:
    form = {"id": "event.id", "data": expression}
    event = read(form, {"id": "a", "entityType": "USER", "eventType": "UPDATE"}).events[0]
    assert isinstance(event, UnreadableEvent)
    assert event.code in ("format-error", "wrong-data")
    assert event.entry == "data"


@pytest.mark.submission
@each_row(
    [
        ({"id": "event.id"}, lambda one: one),
        ({"events": "type(body) == 'array' && body || [body]"}, lambda one: one),
        ({"events": "body.all"}, lambda one: {"all": [one, {"id": "b"} | SMALL]}),
        (
            {"events": "body.all", "data": "body.user"},
            lambda one: {"all": [SMALL | {"id": "a"}], "user": one},
        ),
    ]
)
def test_an_event_may_be_as_large_as_the_body(form: dict[str, Any], wrap: Any) -> None:
    large = SMALL | {"id": "a", "previous": {"note": "ä" * 150_000}, "data": {"numbers": [0.5] * 80_000}}
    for event in read(form | {"max_bytes": 1_048_576}, wrap(large)).events:
        assert isinstance(event, ParsedWebhook), (event.code, event.entry)


def test_an_event_of_several_is_not_stored_with_the_large_body_of_all() -> None:
    form = {"events": "body.all", "data": "body"}
    body = {"all": [{"id": "a"} | SMALL, {"id": "b"} | SMALL], "note": "x" * 300_000}
    assert {getattr(event, "code", "") for event in read(form, body).events} == {"format-error"}


@pytest.mark.submission
def test_a_request_is_not_stored_many_times_over() -> None:
    """The events of this request each repeat its body, of 100 KB."""
    form = {"events": "body.all", "data": "body", "previous": "body", "max_events": 500, "max_bytes": 131_072}
    body = {"all": [SMALL | {"id": f"user-{number}"} for number in range(400)], "note": "x" * 70_000}
    events = read(form, body).events
    assert {event.code for event in events if isinstance(event, UnreadableEvent)} <= {"format-error"}
    stored = sum(len(event.stored_body or b"") for event in events if isinstance(event, ParsedWebhook))
    assert 3_000_000 < stored < 5_000_000


@each_row(
    [
        ({"events": "body.events"}, {"events": [{}] * (DEFAULT_MAX_EVENTS + 1)}, "too-many-events"),
        ({"events": "body.events", "max_events": 2}, {"events": [{}] * 3}, "too-many-events"),
        ({"events": "body.events"}, {"events": {}}, "wrong-events"),
        ({"events": "body.events"}, b"{", "not-json"),
        ({"events": "body.events"}, b'{"events":[{},{"u":{"id":1,"id":2}}]}', "duplicate-member"),
        ({"events": "keys(body)"}, [], "format-error"),
    ]
)
def test_a_request_without_a_list_of_events_is_refused(form: Any, body: Any, code: str) -> None:
    with pytest.raises(MalformedBody) as refused:
        read(form, body)
    assert (refused.value.code, refused.value.pointer) == (code, "")


def test_only_null_false_and_empty_values_count_as_false() -> None:
    body = {"id": "a", "entityType": "USER", "eventType": "UPDATE", "n": 0}
    assert webhook(read({"when": "event.n"}, body).events[0]).ignore_code == ""
    for empty in ("event.absent", "`false`", "`[]`", "''"):
        assert webhook(read({"when": empty}, body).events[0]).ignore_code == "filtered"


def test_dropped_values_are_stored_nowhere() -> None:
    form = WebhookFormat.kind.read({"drop": ["user.password", "items[].secret", "absent.path"]}, ())
    body = b'{"user":{"password":"p"},"items":[{"secret":"s"},{"id":1},2]}'
    assert json.loads(remove_dropped_values(form, body, JSON_TYPE)) == {
        "user": {},
        "items": [{}, {"id": 1}, 2],
    }
    # Nothing can be found in it, and nothing of it may be stored.
    assert remove_dropped_values(form, b'{"password": "p"', JSON_TYPE) == b""


@each_row(
    [
        # A batch of CloudEvents, for example, is a list.
        (
            "data.pw",
            [{"data": {"pw": 1}}, {"data": {"pw": 2, "a": 3}}, 4],
            [{"data": {}}, {"data": {"a": 3}}, 4],
        ),
        ("items[].pw", {"items": {"pw": 1}}, {"items": {}}),
        ("items[].pw", {"items": [[{"pw": 1}]]}, {"items": [[{}]]}),
        ("items.pw", {"items": [{"pw": 1}, {"pw": 2}]}, {"items": [{}, {}]}),
        ("items[].a.pw", {"items": {"a": [{"pw": 1}], "pw": 2}}, {"items": {"a": [{}], "pw": 2}}),
    ]
)
def test_a_value_is_dropped_with_and_without_a_list_around_it(path: str, body: Any, left: Any) -> None:
    form = WebhookFormat.kind.read({"drop": [path]}, ())
    assert json.loads(remove_dropped_values(form, json.dumps(body).encode(), JSON_TYPE)) == left


def test_json_in_a_text_of_json_is_read_and_written_back_without_what_is_dropped() -> None:
    """AWS SNS, for example, sends its message so."""
    form = {
        "json_fields": ["Message", "Other"],
        "drop": ["Message.user.password"],
        "id": "event.Message.user.id",
    }
    body = {"Message": '{"user": {"id": "u-1", "password": "in-clear"}}', "Other": {"is": "no text"}}
    document = body | {"entityType": "USER", "eventType": "UPDATE"}
    event = webhook(read(form, document).events[0])
    assert event.entity_id == "u-1"
    assert b"in-clear" not in (event.stored_body or b"")
    raw = json.dumps(body).encode()
    kept = remove_dropped_values(WebhookFormat.kind.read(form, ()), raw, JSON_TYPE)
    assert json.loads(kept) == {"Message": '{"user":{"id":"u-1"}}', "Other": {"is": "no text"}}


@each_row(
    [
        ('"data[pin]"', {"data": {"pin": 2}, "a.b": [{"c d": 3, "e": 4}]}),
        ("data.pin", {"data[pin]": 1, "data": {}, "a.b": [{"c d": 3, "e": 4}]}),
        ('"a.b"[]."c d"', {"data[pin]": 1, "data": {"pin": 2}, "a.b": [{"e": 4}]}),
        ('"a.b"', {"data[pin]": 1, "data": {"pin": 2}}),
    ]
)
def test_a_name_with_other_characters_is_dropped_if_it_is_quoted(path: str, left: dict[str, Any]) -> None:
    form = WebhookFormat.kind.read({"drop": [path]}, ())
    body = json.dumps({"data[pin]": 1, "data": {"pin": 2}, "a.b": [{"c d": 3, "e": 4}]}).encode()
    assert json.loads(remove_dropped_values(form, body, JSON_TYPE)) == left


@each_row(
    [
        ({"identifier": "body.id"}, "/identifier"),
        ({"id": ""}, "/id"),
        ({"id": "a["}, "/id"),
        ({"id": {"constant": 1}}, "/id"),
        ({"id": "x" * 1001}, "/id"),
        ({"events": {"constant": "a"}}, "/events"),
        ({"event_types": {"X": "CHANGE"}}, "/event_types/X"),
        ({"entity_types": {}}, "/entity_types"),
        ({"entity_types": {"x": "no type"}}, "/entity_types/x"),
        ({"content_types": []}, "/content_types"),
        ({"content_types": ["text/json; charset=utf-8"]}, "/content_types/0"),
        ({"drop": ["a..b"]}, "/drop/0"),
        *(({"drop": [path]}, "/drop/0") for path in ('"a', '""', '"[]"', '"a"b', 'a."b"c', '"a\\b"')),
        ({"json_fields": "payload"}, "/json_fields"),
        ({"json_fields": ["a"] * 21}, "/json_fields"),
        *(({"json_fields": [name]}, "/json_fields/0") for name in ("", 1, "x" * 201)),
        ({"allow_empty_body": "yes"}, "/allow_empty_body"),
        ({"time_format": "minutes"}, "/time_format"),
        *(({"max_events": number}, "/max_events") for number in (0, 501, "500", True)),
        *(({"max_bytes": number}, "/max_bytes") for number in (1_023, 1_048_577, None)),
        ([], "/"),
    ]
)
def test_a_format_that_is_wrong_names_the_setting(form: Any, place: str) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        WebhookFormat.kind.read(form, ())
    assert (refused.value.pointer or "/") == place


def test_type_maps_and_media_types_alone_keep_the_default_fields() -> None:
    words = {"event_types": {"modified": "UPDATE"}, "content_types": ["text/json"], "batch_response": "ack"}
    words |= {"max_events": 500, "max_bytes": 1_048_576}
    assert WebhookFormat.kind.read(words, ()).uses_default_fields
    for other in (
        {"drop": ["password"]},
        {"json_fields": ["a"]},
        {"allow_empty_body": True},
        {"content_types": [FORM_TYPE]},
    ):
        assert not WebhookFormat.kind.read(other, ()).uses_default_fields
