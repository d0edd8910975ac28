"""The document of a webhook: the example, each field at the limits of its values, the defaults."""

import dataclasses
import json
from datetime import UTC, datetime

import pytest

from webhooks.protocol.webhook_parser import (
    EXTRA_ID_CHARACTERS,
    ParsedWebhook,
    ResponsePreferences,
    parse_webhook,
)

pytestmark = pytest.mark.pure

SEED = b'{"id":"IDNUMBER1234","entityType":"USER","eventType":"UPDATE","timestamp":"2019-01-01T00:00:00Z"}'


def parsed_webhook(*, extra="", **changed):
    return parse_webhook(json.dumps({**json.loads(SEED), **changed}).encode(), extra_id_characters=extra)


def test_the_example_is_accepted_unchanged():
    assert parse_webhook(SEED) == ParsedWebhook(
        entity_id="IDNUMBER1234",
        entity_type="USER",
        event_name="UPDATE",
        occurred_at=datetime(2019, 1, 1, tzinfo=UTC),
        occurred_text="2019-01-01T00:00:00Z",
        event_id=None,
        previous=None,
        data=None,
        respond=ResponsePreferences(None, None, None),
        document=json.loads(SEED),
    )


def test_the_three_required_fields_are_enough_in_any_order_and_spacing():
    parsed = parse_webhook(b'\r\n{\t"eventType" : "delete",\n"id" : 7 , "entityType":"File" } ')
    assert (parsed.entity_id, parsed.entity_type, parsed.event_name) == ("7", "FILE", "DELETE")
    assert (parsed.occurred_at, parsed.occurred_text) == (None, "")


def test_a_notice_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        parse_webhook(SEED).entity_id = "other"


@pytest.mark.parametrize(
    "value",
    [
        *(
            "0",
            "a",
            "Z",
            "00",
            "a" * 128,
            "9" * 128,
            "a-",
            "a_",
            "a~",
            "a.b",
            "a..b",
            "a.-",
            "A-Za-z0-9._~-",
            "a" * 127 + "~",
        ),
        *(
            "1" + "." * 126 + "1",
            "null",
            "NaN",
            "1e400",
            "0x1",
            "a--",
            "_",
            "-",
            "_a",
            "-NxQ3_f9",
            "CON",
            "b5cbd7c4-0f5d-4e3a-8d0e-ff10a4b8c6f2",
        ),
    ],
)
def test_an_id_is_stored_unchanged(value):
    assert parsed_webhook(id=value).entity_id == value


@pytest.mark.parametrize("number", [0, 1, 42, 2**31, 2**53 + 1, 2**63 - 1])
def test_an_integer_is_an_id_and_is_stored_as_text(number):
    parsed = parsed_webhook(id=number)
    assert parsed.entity_id == str(number)
    assert parsed.document["id"] == number


@pytest.mark.parametrize(
    "extra", [*EXTRA_ID_CHARACTERS, EXTRA_ID_CHARACTERS, EXTRA_ID_CHARACTERS[::-1], "::"]
)
def test_a_source_can_allow_more_characters_in_ids(extra):
    for character in extra:
        for value in (f"a{character}", f"a{character}b", f"a{character}.-{character}", "a" * 127 + character):
            assert parsed_webhook(id=value, extra=extra).entity_id == value


@pytest.mark.parametrize(
    ("word", "kept"),
    [
        ("USER", "USER"),
        ("user", "USER"),
        ("uSeR", "USER"),
        ("a", "A"),
        ("a" * 64, "A" * 64),
        ("user.profile:v2_x-1", "USER.PROFILE:V2_X-1"),
        ("A.", "A."),
        ("A--", "A--"),
    ],
)
def test_types_and_keywords_are_compared_without_case(word, kept):
    parsed = parsed_webhook(entityType=word, eventType=word)
    assert (parsed.entity_type, parsed.event_name) == (kept, kept)
    assert parsed.document["entityType"] == word


@pytest.mark.parametrize(
    "event_id", ["a", " ", "1", "a" * 255, "ä" * 255, "a.b/c?d", "evt_1 of 2", "\U0001f600", '"', "日本"]
)
def test_an_event_id_is_any_printable_text(event_id):
    assert parsed_webhook(eventId=event_id).event_id == event_id


@pytest.mark.parametrize(
    "part", [{}, {"email": "old@example.org"}, {"a": {"b": [None, 1.5, "\u0000"]}}, {"": ""}]
)
def test_previous_and_data_are_carried_as_they_are(part):
    parsed = parsed_webhook(previous=part, data={"x": part})
    assert (parsed.previous, parsed.data) == (part, {"x": part})


@pytest.mark.parametrize(
    ("sent", "respond"),
    [
        ("ack", ResponsePreferences("ack")),
        ("result", ResponsePreferences("result")),
        ("entity", ResponsePreferences("entity")),
        ("", ResponsePreferences()),
        ("ACK", ResponsePreferences()),
        ("later", ResponsePreferences()),
        ({}, ResponsePreferences()),
        ({"mode": "ack"}, ResponsePreferences("ack")),
        ({"mode": "later", "wait": 5, "fields": ["a"]}, ResponsePreferences(None, 0.005, ("a",))),
        ({"mode": None, "wait": None, "fields": None}, ResponsePreferences()),
        ({"mode": ["ack"]}, ResponsePreferences()),
        ({"mode": {}, "colour": "red"}, ResponsePreferences()),
        (
            {"mode": "entity", "wait": 2500, "fields": ["id", "email"]},
            ResponsePreferences("entity", 2.5, ("id", "email")),
        ),
        ({"wait": 0}, ResponsePreferences(wait_seconds=0.0)),
        ({"wait": 1}, ResponsePreferences(wait_seconds=0.001)),
        ({"wait": 29_999}, ResponsePreferences(wait_seconds=29.999)),
        ({"wait": 30_000}, ResponsePreferences(wait_seconds=30.0)),
        ({"wait": 30_001}, ResponsePreferences(wait_seconds=30.0)),
        ({"wait": 10**999}, ResponsePreferences(wait_seconds=30.0)),
        ({"wait": -1}, ResponsePreferences()),
        ({"wait": 1.0}, ResponsePreferences()),
        ({"wait": 1e3}, ResponsePreferences()),
        ({"wait": True}, ResponsePreferences()),
        ({"wait": "5"}, ResponsePreferences()),
        ({"wait": [5]}, ResponsePreferences()),
        ({"fields": []}, ResponsePreferences(fields=())),
        ({"fields": ["a", "a", ""]}, ResponsePreferences(fields=("a", "a", ""))),
    ],
)
def test_respond_accepts_known_fields_and_ignores_others(sent, respond):
    assert parsed_webhook(respond=sent).respond == respond


def test_other_fields_are_stored_and_have_no_effect():
    more = {
        "Id": 1,
        "entity_type": "x",
        "nested": {"a": [1, {"b": None}]},
        "text": "\u0000",
        "": True,
        "__class__": "x",
    }
    parsed = parsed_webhook(**more)
    assert parsed.document == {**json.loads(SEED), **more}
    assert dataclasses.replace(parsed, document={}) == dataclasses.replace(parse_webhook(SEED), document={})
