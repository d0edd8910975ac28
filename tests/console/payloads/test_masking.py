"""Masked contents, copied commands and bars: pure functions, safe for any input."""

import json
import shlex
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.events.waterfall import WIDTH, CallSpan, bar_segments, longest_seconds, waiting_text
from console.payloads.curl_command import build_curl_command
from console.payloads.masking import (
    MASK,
    UNREADABLE_EVENT_FIELDS,
    WEBHOOK_KEYWORDS,
    mask_header,
    mask_message,
    mask_text,
    mask_url,
    mask_value,
)

pytestmark = pytest.mark.pure
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1), inner, max_size=4),
    max_leaves=20,
)


def leaves(value: object) -> list[object]:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item)]
    return [value]


@pytest.mark.promise("I6")
@given(JSON)
def test_every_value_is_masked_and_the_structure_stays(document: object) -> None:
    masked = mask_value({"x": document})["x"]
    assert all(leaf is None or isinstance(leaf, bool) or leaf == MASK for leaf in leaves(masked))
    assert len(leaves(masked)) == len(leaves(document))


def test_keywords_are_shown_at_the_top_level_only() -> None:
    webhook = {"id": "A", "eventType": "UPDATE", "data": {"eventType": "anna"}, "timestamp": ["anna"]}
    masked = {"id": MASK, "eventType": "UPDATE", "data": {"eventType": MASK}, "timestamp": [MASK]}
    assert json.loads(mask_text(json.dumps(webhook), WEBHOOK_KEYWORDS)) == masked


def test_keywords_are_shown_in_the_objects_of_a_list() -> None:
    unreadable = [{"position": 1, "code": "missing-member", "event": {"code": "anna"}}, "anna"]
    masked = [{"position": 1, "code": "missing-member", "event": {"code": MASK}}, MASK]
    assert json.loads(mask_text(json.dumps(unreadable), UNREADABLE_EVENT_FIELDS)) == masked


def test_no_field_of_a_remote_system_is_shown() -> None:
    names = ("status", "type", "code", "schemas", "title")
    assert json.loads(mask_text(json.dumps(dict.fromkeys(names, "anna")))) == dict.fromkeys(names, MASK)


def test_text_that_is_no_json_keeps_only_its_length() -> None:
    assert mask_text("anna@example.com") == "••• (16 characters)"
    assert mask_text("") == ""
    assert "[[" not in mask_text("[" * 60_000)


def test_a_header_that_may_name_a_person_is_masked_and_others_are_shown() -> None:
    personal = ("Location", "ETag", "Link", "Set-Cookie", "X-Debug", "Content-Disposition")
    assert {mask_header(name, "anna") for name in personal} == {MASK}
    assert {mask_header(name, "10") for name in ("Content-Type", "retry-after", "X-Request-Id", "DATE")} == {
        "10"
    }


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("This e-mail address already belongs to another customer.", None),
        ("Anna.Aalto@Example.com is taken", "••• is taken"),
        ("taken: anna@x.test, bo@x.test", "taken: •••, •••"),
        ("Call +358 40 123-4567 or (09) 1234567", "Call ••• or (09) •••"),
        ("ANNA AALTO is taken", "••• ••• is taken"),
        ("Annabel is not Anna.", "Annabel is not •••."),
        ("field fi is too long (255)", None),
        ("street Old Road 5", "street •••"),
    ],
)
def test_a_message_can_be_read_without_the_values_that_it_repeats(message: str, shown: str | None) -> None:
    contents = {
        "fields": [{"name": "a", "after": "Anna"}],
        "same": {"b": ["Aalto", "fi", 12, None, " "]},
        "c": "Old Road 5",
    }
    assert mask_message(message, contents) == (shown or message)


def test_a_url_keeps_parameter_names_and_loses_values() -> None:
    covered = mask_url(
        "https://x.test/customers/anna@example.com?email=anna@example.com&page=2", "/customers/{id}"
    )
    assert covered == "https://x.test/customers/{id}?email=•••&page=•••"
    assert mask_url("http://[broken", "/x") == "/x"


@pytest.mark.parametrize(
    ("path", "pattern", "shown"),
    [
        ("/peer/rest/model/party.party/7", "/party.party/{id}", "/peer/rest/model/party.party/{id}"),
        ("/api/v2/users/anna%2Faalto", "/users/{id}", "/api/v2/users/{id}"),
        ("/odata/Users('anna')", "/Users('{id}')", "/odata/Users('{id}')"),
        ("/customers", "/customers?expand=all", "/customers"),
        # Nothing of a path that the pattern does not fit: it may hold values.
        ("/anna/customers/7", "/users/{id}", "/users/{id}"),
        ("/7", "/users/{id}", "/users/{id}"),
    ],
)
def test_a_masked_url_keeps_the_path_of_the_base_url(path: str, pattern: str, shown: str) -> None:
    assert mask_url(f"https://x.test{path}", pattern) == f"https://x.test{shown}"


@pytest.mark.submission
@given(st.text(), st.text(min_size=1, max_size=20), st.text(max_size=50))
def test_a_copied_command_is_quoted_for_the_shell(body: str, name: str, value: str) -> None:
    sent = {"url": "https://x.test/a", "headers": {name: value}, "body": body}
    words = shlex.split(build_curl_command("PATCH", "/a", sent).replace("\\\n", ""))
    assert words[:4] == ["curl", "-X", "PATCH", "https://x.test/a"]
    assert len(words) == 6 + 2 * bool(body)


def test_bars_share_a_scale_and_stay_within_it() -> None:
    full = longest_seconds([0.5, 2.0])
    spans = [CallSpan(NOON, 0.5, "good"), CallSpan(NOON + timedelta(seconds=0.5), 9.0, "bad")]
    first, second = bar_segments(NOON, 2.0, spans, full, "bad")
    assert (first.x, first.width) == (0, WIDTH // 4)
    assert (second.x, second.width) == (WIDTH // 4, WIDTH)
    assert bar_segments(NOON, 1.0, [], full, "good")[0].width == WIDTH // 2


def test_a_gap_below_a_second_is_not_shown() -> None:
    assert waiting_text(NOON, NOON + timedelta(milliseconds=900)) == ""
    assert waiting_text(None, NOON) == ""
