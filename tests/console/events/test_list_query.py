"""The list of events page by page: nothing twice, nothing left out; tabs, chips and saved views."""

import random
import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from console.events import list_query
from console.events.list_query import fetch_events
from console.models import SavedView
from console.ui import keyset
from console.ui.keyset import Cursor, PageRequest
from sync.models import Route
from sync.search.event_filter import EventFilter, resolve_filter
from tests.support.builders.history import (
    NOON,
    a_delivery,
    a_route,
    an_event,
    logged_in,
)
from tests.support.people import browser
from webhooks.models import Event, State

pytestmark = pytest.mark.django_db
LIST = "/admin/webhooks/event/"


@pytest.fixture
def support() -> Client:
    return logged_in("support")


def many(count: int, seed: int = 7) -> None:
    """Events of few moments, so that many share one, in a few states."""
    chance = random.Random(seed)
    for number in range(count):
        an_event(
            number,
            received_at=NOON + timedelta(seconds=chance.randrange(8)),
            state=chance.choice([State.DEAD, State.HELD, State.SUCCEEDED, State.RETRYING]),
        )


def events_of_all_pages(meant: EventFilter, *, oldest_first: bool) -> list[int]:
    """Return all pages from the first to the last by their links, and back again."""
    place, seen, back = PageRequest(oldest_first=oldest_first), [], []
    rows = fetch_events(meant, place)
    while True:
        seen.append([event.pk for event in rows.rows])
        ahead = rows.newer_cursor if oldest_first else rows.older_cursor
        if ahead is None:
            break
        rows = fetch_events(meant, _at(ahead, not oldest_first, oldest_first))
    while True:
        back.append([event.pk for event in rows.rows])
        behind = rows.older_cursor if oldest_first else rows.newer_cursor
        if behind is None:
            break
        rows = fetch_events(meant, _at(behind, oldest_first, oldest_first))
    assert [key for page in back[::-1] for key in page] == [key for page in seen for key in page]
    return [key for page in seen for key in page]


def _at(cursor: Cursor, is_before: bool, oldest_first: bool) -> PageRequest:
    return PageRequest(
        before=cursor if is_before else None, after=None if is_before else cursor, oldest_first=oldest_first
    )


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(
    ("words", "oldest_first"),
    [
        ({}, False),
        ({"state": "dead"}, True),
        ({"state": "dead,held,retrying"}, False),
        ({"state": "dead,held"}, True),
    ],
)
def test_turning_all_pages_shows_every_event_once_in_order(
    monkeypatch: pytest.MonkeyPatch, words: dict[str, str], oldest_first: bool
) -> None:
    monkeypatch.setattr(keyset, "PAGE_SIZE", 7)
    many(60)
    meant = resolve_filter(words, timezone.now())
    order = ("received_at", "pk") if oldest_first else ("-received_at", "-pk")
    expected = list(meant.apply_to(Event.objects.order_by(*order)).values_list("pk", flat=True))
    assert len(expected) > 14
    assert events_of_all_pages(meant, oldest_first=oldest_first) == expected


def test_new_events_are_announced_without_moving_a_row(support: Client) -> None:
    an_event(5)
    page = support.get(LIST).context["page"]
    assert "newer event" not in support.get(LIST + page.newest).content.decode()
    an_event(1)
    an_event(2)
    notice = support.get(LIST + page.newest).content.decode()
    assert "Show 2 newer events" in notice
    assert 'id="newer"' in notice
    assert "<table" not in notice
    assert "0 newer" not in support.get(f"{LIST}?newer=nonsense").content.decode()


def test_a_view_is_saved_under_a_name_and_is_a_tab_of_its_owner_only() -> None:
    maija, other = browser("support", "maija"), browser("support", "other")
    answer = maija.post(
        f"{LIST}views/save/", {"name": "Refused", "query": "?code=target-rejected&state=dead&x=1"}
    )
    assert answer["Location"] == f"{LIST}?state=dead&code=target-rejected"
    tab = maija.get(answer["Location"]).context["page"].own_view
    assert tab.name == "Refused"
    assert not any(tab.key for tab in other.get(LIST).context["page"].tabs)
    assert other.post(f"{LIST}views/{tab.key}/remove/").status_code == 404
    assert maija.post(f"{LIST}views/{tab.key}/remove/").status_code == 302
    assert not SavedView.objects.exists()


def test_a_shared_view_is_a_tab_of_all_users_and_auditors_share_none() -> None:
    maija, auditor = browser("support", "maija"), browser("auditor")
    asked = {"name": "Held", "query": "state=held", "is_shared": "on"}
    assert auditor.post(f"{LIST}views/save/", asked).status_code == 403
    maija.post(f"{LIST}views/save/", asked)
    assert "Held" in [tab.name for tab in auditor.get(LIST).context["page"].tabs]


@pytest.mark.submission
def test_a_view_without_name_or_filter_is_refused_with_a_message(support: Client) -> None:
    for name, query in (("", "state=dead"), ("x", ""), ("x", "nothing=known"), ("x", "q=" + "a" * 2000)):
        answer = support.post(f"{LIST}views/save/", {"name": name, "query": query}, follow=True)
        assert "Nothing was saved" in answer.content.decode(), (name, query)
    assert not SavedView.objects.exists()


@pytest.mark.submission
def test_selected_events_are_replayed_and_an_empty_selection_is_refused(support: Client) -> None:
    event = an_event(state="dead", code="target-rejected")
    a_delivery(event, a_route(event.source))
    nothing = support.post(f"{LIST}?state=dead", {"action": "replay_selected"}, follow=True)
    assert "Select events first" in nothing.content.decode()
    answer = support.post(LIST, {"action": "replay_selected", "_selected_action": [str(event.pk)]})
    assert re.search("/personrequest/[-0-9a-f]{36}/confirm/", answer["Location"])
    for refused in ({"action": "delete_selected", "_selected_action": [str(event.pk)]}, {}):
        assert support.post(LIST, refused).status_code == 403
    assert logged_in("auditor").post(LIST, {"action": "replay_selected"}).status_code == 403


@pytest.mark.submission
def test_a_count_is_exact_up_to_its_limit(support: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_query, "COUNT_LIMIT", 55)
    for number in range(55):
        an_event(number, state="dead")
    assert support.get(LIST, {"state": "dead"}).context["page"].count == "55 events"
    an_event(55, state="held")
    assert support.get(LIST, {"state": "dead,held"}).context["page"].count == "more than 55 events"
    an_event(56, state="dead")
    with CaptureQueriesContext(connection) as captured:
        page = support.get(LIST, {"state": "dead"}).context["page"]
    assert page.count == "more than 55 events"
    statements = [query["sql"] for query in captured.captured_queries]
    counts = [sql for sql in statements if "COUNT(*)" in sql and '"webhooks_event"' in sql]
    assert counts
    assert all("LIMIT 56" in sql for sql in counts)


@pytest.mark.submission
def test_filters_without_a_single_index_are_not_counted(support: Client) -> None:
    for number in range(51):
        an_event(number, state="dead", entity_id="USR-1")
    for query, count in (
        ("state=dead&source=aurora", ""),
        ("event_type=UPDATE", ""),
        ("source=aurora", "51 events"),
        ("q=USR-1", "51 events"),
    ):
        assert support.get(f"{LIST}?{query}").context["page"].count == count, query


@pytest.mark.submission
def test_a_reason_names_the_system_as_the_page_of_the_event_does(support: Client) -> None:
    for code, told in (
        ("target-unavailable", "The shop is unavailable"),
        ("identity-unavailable", "Aurora ID is unavailable"),
    ):
        event = an_event(state="dead", code=code)
        a_delivery(event, Route.objects.first() or a_route(event.source))
        newest, *_ = support.get(LIST, {"order": "newest", "code": code}).context["page"].rows
        assert newest.reason == told
        assert told in support.get(f"{LIST}{event.pk}/change/").content.decode()


def test_a_large_estimate_is_rounded() -> None:
    counts = [999, 1_000, 3_011, 48_234, 1_251_000]
    assert [list_query.round_estimate(count) for count in counts] == [999, 1_000, 3_000, 48_000, 1_300_000]


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(
    ("query", "excluding"),
    [
        ({"entity_id": "NOBODY"}, ["Entity"]),
        ({"state": "dead", "entity_id": "USR-1"}, ["Status", "Entity"]),
        ({"state": "dead", "entity_id": "NOBODY"}, ["Entity"]),
        ({"state": "held", "entity_id": "NOBODY"}, []),
        ({"state": "dead", "received_from": "2026-03-05T00:00:00Z"}, ["Received"]),
        ({"state": "dead"}, []),
    ],
)
def test_an_empty_list_names_the_filter_without_matches(
    support: Client, query: dict[str, str], excluding: list[str]
) -> None:
    an_event(1)
    an_event(2, state="dead", code="target-rejected")
    page = support.get(LIST, query)
    assert [chip.label for chip in page.context["page"].excluding] == excluding
    for chip in page.context["page"].excluding:
        assert support.get(LIST + chip.clear_query).context["page"].rows
