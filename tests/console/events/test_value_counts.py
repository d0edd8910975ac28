"""The filters of the event list: which values they offer, how many events each leads to, several of them, and none."""

import re
from typing import Any

import pytest
from django.db import connection
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext

from console.events import list_query, value_counts
from console.ui.event_filters import describe_filter
from sync.search.event_filter import resolve_filter
from tests.support.builders.history import NOON, a_source, an_event, logged_in
from webhooks.models import State

pytestmark = pytest.mark.django_db
LIST = "/admin/webhooks/event/"


def offered(query: str = "") -> dict[str, dict[str, str]]:
    """Return the counts by value of each filter on the page of a list."""
    page = logged_in("support").get(f"{LIST}?{query}").context["page"]
    return {
        chip.name: {choice.value: choice.count for choice in chip.choices}
        for chip in page.chips
        if chip.name != "received"
    }


def number_of(query: str) -> int:
    return len(logged_in("support").get(LIST + query).context["page"].rows)


def some_events() -> None:
    for number, values in enumerate(
        (
            {"state": "dead", "code": "target-rejected"},
            {"state": "dead", "code": "target-rejected", "event_type": "CREATE"},
            {"state": "dead", "code": "unmappable"},
            {"state": "held", "code": "held", "source": a_source("other")},
            {"state": "retrying", "code": "target-rejected"},
            {"state": "succeeded", "event_type": "MOVED"},
        )
    ):
        an_event(number, **values)
    a_source("silent")


def test_only_values_that_occur_are_offered_with_the_number_of_events() -> None:
    some_events()
    assert offered() == {
        "state": {"dead,held": "4", "dead": "3", "held": "1", "retrying": "1", "succeeded": "1"},
        "code": {"unmappable": "1", "held": "1", "target-rejected": "2"},
        "event_type": {"CREATE": "1", "UPDATE": "4", "other": "1"},
        "source": {"aurora": "5", "other": "1"},
    }


@pytest.mark.parametrize(
    "query",
    [
        "",
        "state=dead",
        "source=aurora",
        "state=dead&code=unmappable",
        "state=held,dead",
        "received_to=2026-03-04T11:59:58Z",
    ],
)
def test_each_count_is_the_number_of_events_that_a_click_leads_to(query: str) -> None:
    some_events()
    page = logged_in("support").get(f"{LIST}?{query}").context["page"]
    counted = [(choice.query, choice.count) for chip in page.chips for choice in chip.choices if choice.count]
    assert counted
    assert [(link, str(number_of(link))) for link, _count in counted] == counted


def test_values_that_no_index_can_count_are_all_offered_without_a_number() -> None:
    some_events()
    assert set(offered("state=dead&source=aurora")["event_type"].values()) == {""}
    assert len(offered("event_type=UPDATE")["code"]) > 40
    assert set(offered("event_type=UPDATE")["event_type"].values()) == {"1", "4"}
    for one_entity in ("entity_id=USR-0", "q=USR-0"):
        assert offered(f"event_type=UPDATE&{one_entity}")["code"] == {"target-rejected": "1"}


def test_counts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_query, "COUNT_LIMIT", 2)
    monkeypatch.setattr(value_counts, "MAX_SOURCES", 2)
    some_events()
    with CaptureQueriesContext(connection) as captured:
        counts = offered()
    assert counts["state"] == {
        "dead,held": "2+",
        "dead": "2+",
        "held": "1",
        "retrying": "1",
        "succeeded": "1",
    }
    # The newest events have some of the values, with at least this number: others may occur, too.
    assert (counts["event_type"]["UPDATE"], counts["event_type"]["DELETE"]) == ("2+", "")
    assert counts["source"] == {"aurora": "", "other": "", "silent": ""}, "more sources than are counted"
    [counting] = [query["sql"] for query in captured.captured_queries if "UNION ALL" in query["sql"]]
    assert (
        len(re.findall(r'FROM "webhooks_event"', counting)) == len(re.findall(r"LIMIT [123]\b", counting)) - 1
    )


@pytest.mark.parametrize(
    ("sent", "query"),
    [
        ("state=dead&state=held&exclude=", "?state=dead%2Cheld"),
        ("state=dead%2Cheld&state=dead&exclude=state&source=aurora", "?state=%21dead%2Cheld&source=aurora"),
        ("code=target-rejected&exclude=", "?state=dead&code=target-rejected"),
        ("code=target-rejected&code=held&exclude=", "?code=target-rejected%2Cheld"),
        ("code=target-rejected&exclude=code", "?code=%21target-rejected"),
        ("exclude=state", "?"),
    ],
)
def test_ticked_values_become_one_address(sent: str, query: str) -> None:
    answer = logged_in("support").get(f"{LIST}?{sent}")
    assert (answer.status_code, answer["Location"]) == (302, LIST + query)


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ("state=!dead", 3),
        ("state=!dead,held,nonsense", 2),
        ("code=target-rejected,unmappable", 4),
        ("code=!target-rejected", 3),
        ("event_type=CREATE,other", 2),
        ("event_type=!CREATE,other", 4),
        ("source=aurora,other", 6),
        ("source=!aurora", 1),
        ("source=aurora,nowhere&state=dead", 3),
        ("source=!nowhere", 6),
    ],
)
def test_several_values_and_excluded_ones_find_the_same_in_the_list_and_in_exports(
    query: str, number: int
) -> None:
    some_events()
    params = QueryDict(query).dict()
    assert number_of(f"?{query}") == number
    resolved = resolve_filter(params, NOON)
    assert resolve_filter(resolved.to_params(), NOON) == resolved
    download = logged_in("auditor").get(f"{LIST}download/jsonl?{query}")
    assert len(b"".join(download.streaming_content).splitlines()) == number  # type: ignore[attr-defined]


def test_excluded_values_are_said_in_words() -> None:
    some_events()
    page: Any = logged_in("support").get(f"{LIST}?state=!dead,held").context["page"]
    [status] = [chip for chip in page.chips if chip.name == "state"]
    assert status.value == "not Failed, Held for approval"
    assert [choice.value for choice in status.choices if choice.is_ticked] == ["dead", "held"]
    assert describe_filter({"state": "!dead,held", "code": "unmappable,held"}) == [
        "Status: not Failed, Held for approval",
        "Reason: The data can't be mapped, The change is waiting for approval",
    ]


def test_a_list_without_some_states_is_read_by_the_index_of_each_state() -> None:
    some_events()
    with CaptureQueriesContext(connection) as captured:
        assert number_of("?state=!succeeded") == 5
    [keys] = [
        query["sql"]
        for query in captured.captured_queries
        if "UNION ALL" in query["sql"] and "ORDER BY received_at DESC" in query["sql"]
    ]
    assert len(re.findall(r'"webhooks_event"\."state" = ', keys)) == len(State) - 1
    assert keys.count("LIMIT 51") == len(State)
