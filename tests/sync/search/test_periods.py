"""Times typed into a filter are in the person's zone; its address holds times that are the same for everyone."""

import re
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pytest
from django.test import Client

from console.models import Preference
from sync.search.time_ranges import format_moment, to_absolute_params, to_input_value
from tests.support.builders.history import an_event
from tests.support.pages import visible_text
from tests.support.people import person

HELSINKI = ZoneInfo("Europe/Helsinki")
LIST = "/admin/webhooks/event/"


def filter_times(begin: str, end: str, **stood: str) -> tuple[str, str]:
    """Return the times in the address after these times were typed in Helsinki."""
    words = to_absolute_params({"at_from_local": begin, "at_to_local": end, **stood}, "at", HELSINKI)
    return words.get("at_from", ""), words.get("at_to", "")


TYPED = [
    ("2026-01-15T10:00", "2026-01-15T08:00:00Z", "2026-01-15T08:00:00Z"),
    ("2026-07-15T10:00", "2026-07-15T07:00:00Z", "2026-07-15T07:00:00Z"),
    ("2026-01-15", "2026-01-14T22:00:00Z", "2026-01-14T22:00:00Z"),
    ("2026-01-15T10:00Z", "2026-01-15T10:00:00Z", "2026-01-15T10:00:00Z"),
    # The hour that comes twice: from its first coming, to its second.
    ("2026-10-25T03:30", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"),
    ("2026-10-25T04:00", "2026-10-25T02:00:00Z", "2026-10-25T02:00:00Z"),
    # The hour that never comes: whatever was meant lies between the two.
    ("2026-03-29T03:30", "2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"),
    ("2026-03-29T04:00", "2026-03-29T01:00:00Z", "2026-03-29T01:00:00Z"),
    ("", "", ""),
    ("soon", "soon", "soon"),
    ("0001-01-01T00:00", "0001-01-01T00:00", "0001-01-01T00:00"),
]


def test_a_typed_time_is_local_and_includes_both_readings_of_an_ambiguous_hour() -> None:
    for typed, begin, end in TYPED:
        assert filter_times(typed, typed) == (begin, end), typed


def test_an_unchanged_bound_stays_exactly_the_same() -> None:
    for stood in (
        "2026-10-25T01:30:00Z",
        "2026-10-25T00:30:00Z",
        "2026-03-04T12:00:00.123456Z",
        "2026-03-04T12:00",
    ):
        shown = to_input_value(stood, HELSINKI)
        assert filter_times(shown, "2027-01-01T00:00", at_from=stood) == (stood, "2026-12-31T22:00:00Z")


def test_an_emptied_bound_is_removed() -> None:
    assert filter_times("", "", at_from="2026-01-01T00:00:00Z", at_to="2026-01-02T00:00:00Z") == ("", "")


def test_times_are_shown_with_the_name_of_their_zone() -> None:
    assert format_moment("2026-10-25T00:30:00Z", HELSINKI) == "2026-10-25 03:30 EEST"
    assert format_moment("2026-10-25T01:30:00Z", HELSINKI) == "2026-10-25 03:30 EET"
    assert format_moment("soon", HELSINKI) == "soon"


@pytest.fixture
def maija() -> Client:
    """Return a person in Helsinki."""
    user = person("support", "maija")
    Preference.objects.create(person=user, time_zone="Europe/Helsinki")
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.django_db
def test_typed_times_become_an_address_that_is_valid_in_every_time_zone(maija: Client) -> None:
    for hour in (7, 8, 9):
        an_event(hour, received_at=datetime(2026, 1, 15, hour, 30, tzinfo=UTC))
    typed = {
        "received_from_local": "2026-01-15T10:00",
        "received_to_local": "2026-01-15T11:00",
        "state": "succeeded",
    }
    answer = maija.get(LIST, typed)
    assert parse_qs(urlsplit(answer["Location"]).query) == {
        "state": ["succeeded"],
        "received_from": ["2026-01-15T08:00:00Z"],
        "received_to": ["2026-01-15T09:00:00Z"],
    }
    other = Client()
    other.force_login(person("auditor"))
    for client in (maija, other):
        page = client.get(answer["Location"]).context["page"]
        assert [row.event.entity_id for row in page.rows] == ["USR-8"]
    text = maija.get(answer["Location"]).content.decode()
    assert re.search(r'name="received_from_local"\s+value="2026-01-15T10:00"', text)


@pytest.mark.django_db
def test_an_old_address_without_a_zone_means_utc(maija: Client) -> None:
    for hour in (8, 10):
        an_event(hour, received_at=datetime(2026, 1, 15, hour, tzinfo=UTC))
    page = maija.get(LIST, {"received_from": "2026-01-15T10:00", "received_to": "2026-01-15T10:01"}).context[
        "page"
    ]
    assert [row.event.entity_id for row in page.rows] == ["USR-10"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("received_from=2026-01-15T08:00:00Z", "Received: from 2026-01-15 10:00"),
        ("received_to=2026-01-15T09:00:00Z", "Received: before 2026-01-15 11:00"),
    ],
)
def test_a_period_with_one_end_is_named_in_the_time_zone_of_the_person(
    maija: Client, query: str, text: str
) -> None:
    assert text in visible_text(maija.get(f"{LIST}?{query}"))


@pytest.mark.django_db
def test_a_typed_text_that_is_no_time_is_reported(maija: Client) -> None:
    page = maija.get(LIST, {"received_from_local": "soon"}, follow=True)
    assert "The filters in this address are invalid" in page.content.decode()
