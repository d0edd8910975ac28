"""The event list: its columns, the results of its filters and its search, and its cost."""

import re
from collections import Counter
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.translation import override

from config_schema.codes.codes import HELD_EVENT_CODES, IGNORED_EVENT_CODES
from console.ui.event_filters import EVENT_FILTERS
from tests.support.builders.history import (
    a_delivery,
    a_route,
    a_source,
    an_attempt,
    an_event,
    logged_in,
)
from tests.support.people import browser
from webhooks.models import Source

pytestmark = pytest.mark.django_db
LIST = "/admin/webhooks/event/"


@pytest.fixture
def support() -> Client:
    return logged_in("support")


def entities(page: Any) -> list[str]:
    """Return the entity ids of a list in its order."""
    return [row.event.entity_id for row in page.context["page"].rows]


def test_the_filter_offers_every_source(support: Client) -> None:
    Source.objects.bulk_create(
        Source(slug=f"s{number}", name=f"S {number}", scheme="none") for number in range(101)
    )
    page = support.get(LIST).content.decode()
    assert all(f'href="?source=s{number}"' in page for number in range(101))


def test_a_page_of_fifty_costs_at_most_nine_statements_and_none_is_unbounded(support: Client) -> None:
    for number in range(60):
        an_event(number)
    with CaptureQueriesContext(
        connection,
    ) as few:
        page = support.get(LIST)
    assert len(page.context["page"].rows) == 50
    statements = [query["sql"] for query in few.captured_queries]
    assert len(statements) <= 9
    about_events = [sql for sql in statements if 'FROM "webhooks_event"' in sql]
    assert about_events
    assert all(
        re.search("LIMIT|MAX", sql) and "DISTINCT" not in sql and "OFFSET" not in sql for sql in about_events
    )
    assert page.context["page"].count == "about 60 events"


@pytest.mark.submission
def test_an_invalid_filter_is_reported(support: Client) -> None:
    huge = "after=1-" + "9" * 40
    for query in ("received=2", "received_from=soon", "received_to=99999", "entity_id=%00", "before=x", huge):
        answer = support.get(f"{LIST}?{query}")
        assert "The filters in this address are invalid" in answer.content.decode(), query


def test_only_the_look_ups_of_the_filters_are_accepted(support: Client) -> None:
    for query in ("entity_id__icontains=a", "payload__encrypted__startswith=a", "source__secrets__hint=a"):
        answer = support.get(f"{LIST}?{query}")
        assert (answer.status_code, answer["Location"]) == (302, LIST), query


@pytest.mark.parametrize("path", [LIST, "/admin/audit/entry/"])
def test_an_unknown_filter_is_ignored_and_named_once(path: str) -> None:
    client = browser("auditor")
    for query, left, named in (
        ("order=oldest&foo=1&foo=2", "?order=oldest", "“foo”"),
        ("%3Cb%3E=1&foo=", "", "“&lt;b&gt;”, “foo”"),
    ):
        answer = client.get(f"{path}?{query}")
        assert (answer.status_code, answer["Location"]) == (302, path + left)
        assert named in client.get(path + left).content.decode()
        assert named not in client.get(path + left).content.decode()


@pytest.mark.submission
def test_the_search_recognises_a_reference_an_event_id_and_an_entity_id(support: Client) -> None:
    event = an_event(1, event_id="msg_1")
    an_event(2)
    an_event(9, entity_id=str(event.pk))
    spellings = (event.reference, event.reference.lower(), f" {event.reference} ", str(event.uuid))
    addresses = (
        f"https://hub.example.com/admin/webhooks/event/{event.pk}/change/",
        f"/admin/webhooks/event/{event.reference}/change/?x=1",
    )
    for term in (*spellings, *addresses, "msg_1", "USR-1"):
        page = support.get(LIST, {"q": term})
        assert entities(page) == ["USR-1"], term
    an_event(3, event_id="msg_1", source=a_source("other"))
    assert entities(support.get(LIST, {"q": "msg_1"})) == ["USR-1", "USR-3"], "at every source"


@pytest.mark.submission
def test_the_search_recognises_the_key_of_an_attempt_also_as_an_idempotency_key(support: Client) -> None:
    source = a_source()
    event = an_event(1, source=source)
    attempt = an_attempt(a_delivery(event, a_route(source)), 1)
    an_event(2)
    for term in (str(attempt.key), f"{attempt.key}-0123456789abcdef"):
        page = support.get(LIST, {"q": term})
        assert entities(page) == ["USR-1"], term
    for term in (f"{attempt.key}-0123456789abcde", f"{attempt.key}-0123456789abcdeg", f"{event.uuid}-x"):
        assert entities(support.get(LIST, {"q": term})) == [], term


def test_a_term_that_finds_nothing_is_a_filter_that_can_be_removed(support: Client) -> None:
    """Links, saved views and exports have terms; the search box is that of the header."""
    an_event(1, event_id="msg_1")
    for term in ("USR", "usr-2", "msg", "0" * 26, "<b>", "/admin/webhooks/event/msg_1/change/"):
        page = support.get(LIST, {"q": term})
        assert entities(page) == [], term
        assert [chip.value for chip in page.context["page"].excluding] == [term]
        assert "<b>" not in page.content.decode()


def test_a_search_uses_indexes_only(support: Client) -> None:
    an_event(1)
    with CaptureQueriesContext(connection) as captured:
        support.get(LIST, {"q": "nowhere"})
    # An id in mixed case is found by an index on its lower case, whose condition has both.
    mixed = 'LOWER("webhooks_event"."entity_id") = (LOWER('
    for sql in (
        query["sql"] for query in captured.captured_queries if 'FROM "webhooks_event"' in query["sql"]
    ):
        assert mixed in sql or not re.search(r"LIKE|UPPER|REGEXP", sql), sql


@pytest.mark.parametrize("language", ["en", "fi"])
def test_no_two_reasons_of_the_filter_have_the_same_title(language: str) -> None:
    with override(language):
        [reasons] = [chip.choices for chip in EVENT_FILTERS.build_chips({}) if chip.name == "code"]
    titles = Counter(reason.text for reason in reasons)
    assert len(titles) > 40
    assert [title for title, number in titles.items() if number > 1] == []


@pytest.mark.parametrize("code", [*IGNORED_EVENT_CODES, *HELD_EVENT_CODES])
def test_the_reason_filter_finds_what_was_held_or_not_sent(support: Client, code: str) -> None:
    """Also from the list of another reason, whose status it does not keep."""
    state = "held" if code in HELD_EVENT_CODES else "ignored"
    an_event(1, state=state, code=code)
    an_event(2, state="dead", code="target-rejected")
    for begin in ("", "?state=dead&code=target-rejected"):
        [reasons] = [chip for chip in support.get(LIST + begin).context["page"].chips if chip.name == "code"]
        [query] = [option.query for option in reasons.choices if f"code={code}" in option.query.split("&")]
        assert entities(support.get(LIST + query)) == ["USR-1"]
    assert entities(support.get(f"{LIST}?code={code}")) == ["USR-1"]
