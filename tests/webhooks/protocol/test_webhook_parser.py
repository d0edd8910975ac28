"""The document of a webhook: the example, each field at the limits of its values, the defaults."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.rows import each_row
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


@each_row(
    [
        "0",
        "Z",
        "9" * 128,
        "a-",
        "a.b",
        "a..b",
        "A-Za-z0-9._~-",
        "a" * 127 + "~",
        "null",
        "1e400",
        "_",
        "-Nx_f9",
    ]
)
def test_an_id_is_stored_unchanged(value):
    assert parsed_webhook(id=value).entity_id == value


@each_row([0, 1, 2**53 + 1, 2**63 - 1])
def test_an_integer_is_an_id_and_is_stored_as_text(number):
    parsed = parsed_webhook(id=number)
    assert parsed.entity_id == str(number)
    assert parsed.document["id"] == number


@each_row([*EXTRA_ID_CHARACTERS, EXTRA_ID_CHARACTERS, EXTRA_ID_CHARACTERS[::-1], "::"])
def test_a_source_can_allow_more_characters_in_ids(extra):
    for character in extra:
        for value in (f"a{character}", f"a{character}b", f"a{character}.-{character}", "a" * 127 + character):
            assert parsed_webhook(id=value, extra=extra).entity_id == value


@each_row(
    [
        ("uSeR", "USER"),
        ("a", "A"),
        ("a" * 64, "A" * 64),
        ("user.profile:v2_x-1", "USER.PROFILE:V2_X-1"),
        ("A--", "A--"),
    ]
)
def test_types_and_keywords_are_compared_without_case(word, kept):
    parsed = parsed_webhook(entityType=word, eventType=word)
    assert (parsed.entity_type, parsed.event_name) == (kept, kept)
    assert parsed.document["entityType"] == word


@each_row(["a", " ", "ä" * 255, "a.b/c?d", "\U0001f600", '"'])
def test_an_event_id_is_any_printable_text(event_id):
    assert parsed_webhook(eventId=event_id).event_id == event_id


@each_row([{}, {"a": {"b": [None, 1.5, "\u0000"]}}, {"": ""}])
def test_previous_and_data_are_carried_as_they_are(part):
    parsed = parsed_webhook(previous=part, data={"x": part})
    assert (parsed.previous, parsed.data) == (part, {"x": part})


@each_row(
    [
        ("ack", ResponsePreferences("ack")),
        ("result", ResponsePreferences("result")),
        ("entity", ResponsePreferences("entity")),
        ("ACK", ResponsePreferences()),
        ({}, ResponsePreferences()),
        ({"mode": "later", "wait": 5, "fields": ["a"]}, ResponsePreferences(None, 0.005, ("a",))),
        ({"mode": None, "wait": None, "fields": None}, ResponsePreferences()),
        ({"mode": ["ack"]}, ResponsePreferences()),
        ({"mode": {}, "colour": "red"}, ResponsePreferences()),
        ({"mode": "entity", "fields": ["id", ""]}, ResponsePreferences("entity", None, ("id", ""))),
        ({"wait": 0}, ResponsePreferences(wait_seconds=0.0)),
        ({"wait": 29_999}, ResponsePreferences(wait_seconds=29.999)),
        ({"wait": 30_000}, ResponsePreferences(wait_seconds=30.0)),
        ({"wait": 30_001}, ResponsePreferences(wait_seconds=30.0)),
        ({"wait": 10**999}, ResponsePreferences(wait_seconds=30.0)),
        ({"wait": -1}, ResponsePreferences()),
        ({"wait": 1.0}, ResponsePreferences()),
        ({"wait": True}, ResponsePreferences()),
        ({"wait": "5"}, ResponsePreferences()),
        ({"fields": []}, ResponsePreferences(fields=())),
    ]
)
def test_respond_accepts_known_fields_and_ignores_others(sent, respond):
    assert parsed_webhook(respond=sent).respond == respond


def test_other_fields_are_stored_and_have_no_effect():
    more = {"Id": 1, "entity_type": "x", "nested": {"a": [1, {"b": None}]}, "": True, "__class__": "x"}
    parsed = parsed_webhook(**more)
    assert parsed.document == {**json.loads(SEED), **more}
    assert dataclasses.replace(parsed, document={}) == dataclasses.replace(parse_webhook(SEED), document={})


@each_row(
    [
        ("2019-01-01T00:00:00-00:00", datetime(2019, 1, 1, tzinfo=UTC)),
        ("2019-01-01T02:30:00+02:30", datetime(2019, 1, 1, tzinfo=UTC)),
        ("2019-01-01T14:00:00+14:00", datetime(2019, 1, 1, tzinfo=UTC)),
        ("2018-12-31T10:00:00-14:00", datetime(2019, 1, 1, tzinfo=UTC)),
        ("2019-01-01T00:00:00.5Z", datetime(2019, 1, 1, microsecond=500_000, tzinfo=UTC)),
        ("2019-01-01T00:00:00.000001Z", datetime(2019, 1, 1, microsecond=1, tzinfo=UTC)),
        ("2019-01-01T00:00:00.1234567Z", datetime(2019, 1, 1, microsecond=123_456, tzinfo=UTC)),
        ("2019-01-01T00:00:00.999999999+01:00", datetime(2018, 12, 31, 23, 0, 0, 999_999, tzinfo=UTC)),
        ("1970-01-01T00:00:00Z", datetime(1970, 1, 1, tzinfo=UTC)),
        ("2100-12-31T23:59:59.999999Z", datetime(2100, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
        ("1970-01-01T14:00:00+14:00", datetime(1970, 1, 1, tzinfo=UTC)),
        ("2100-12-31T09:59:59-14:00", datetime(2100, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("2024-02-29T12:00:00Z", datetime(2024, 2, 29, 12, tzinfo=UTC)),
    ]
)
def test_a_timestamp_is_read_in_utc_and_stored_as_written(written, instant):
    parsed = parsed_webhook(timestamp=written)
    assert parsed.occurred_at == instant
    assert parsed.occurred_at.utcoffset() == timedelta(0)
    assert parsed.occurred_text == written


OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@settings(max_examples=50)
@given(st.datetimes(datetime(1970, 1, 2), datetime(2100, 12, 30), timezones=OFFSETS))
def test_every_time_in_range_is_read_back_unchanged(instant):
    assert parsed_webhook(timestamp=instant.isoformat()).occurred_at == instant
