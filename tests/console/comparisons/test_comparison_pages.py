"""The pages of comparisons: of all pairs, of one pair, and of one comparison with its differences."""

import csv
import re
from datetime import timedelta
from html import unescape
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone

from sync.models import MATCH_HELD_CODE, Comparison, Difference, Job, MappingVersion, PersonRequest, Route
from tests.console.comparisons.pages import LIST, page_of, page_of_pair
from tests.support.builders.compared_pairs import a_comparison, a_difference, an_open_comparison
from tests.support.builders.history import NOON, a_delivery, a_route, a_source, an_event, logged_in
from tests.support.database.query_plans import find_unindexed_statements, recorded_statements
from tests.support.pages import visible_text
from tests.support.people import entries

pytestmark = pytest.mark.django_db

DECLARATION = {
    "fields": {
        "external_id": {"path": "entity.id"},
        "email": {"path": "entity.email"},
        "note": {"path": "webhook.note"},
        "origin": {"path": "entity.origin", "only_on_create": True},
        "seen": {"path": "entity.seen", "not_compared": True},
    },
    "match": {"external_id": "external_id"},
}


@pytest.fixture
def route() -> Route:
    return a_route(a_source())


def text_of(address: str, role: str = "support") -> str:
    """Return the visible text of a page."""
    return unescape(visible_text(logged_in(role).get(address)))


def listed(comparison: Comparison, query: str = "") -> list[str]:
    answer = logged_in("auditor").get(page_of(comparison) + query)
    return [row.row.entity_id for row in answer.context["page"].rows]


def test_a_pair_shows_its_newest_result_with_what_is_not_known(route: Route) -> None:
    """Holds that a result says how many are in step, of which kinds differences are, and what was not compared."""
    MappingVersion.objects.update(declaration=DECLARATION)
    a_comparison(route, counts={"in-step": 10_000})
    a_comparison(
        route,
        counts={"in-step": 9_786, "differs": 1_214, "entity-gone": 3, "in-step-removed": 2},
        unconfirmed={"differs": 214},
        identity_gap="identity-unavailable",
    )
    text = text_of(page_of_pair(route))
    for sentence in (
        "In step: 9,786 of 11,000",
        "Differs about 1,214",
        "Entity gone 3",
        "In step (removed) 2",
        "The entities of Aurora ID were not all read",
        "Therefore no entity is reported as gone.",
        "All records of The shop were read.",
        "note: read from the webhook.",
        "origin: written only when a record is created.",
        "seen: sent only together with other changes.",
        "requested by the schedule",
    ):
        assert sentence in text
    earlier = text.partition("Earlier comparisons")[2]
    assert "10,000 of 10,000" in earlier
    assert "11,000" not in earlier


def test_routes_of_several_sources_share_the_page_of_their_pair(route: Route) -> None:
    other = a_route(a_source("second"))
    comparison = a_comparison(route)
    assert page_of(comparison) in logged_in("support").get(page_of_pair(other)).content.decode()
    pairs = logged_in("support").get(LIST).context["pairs"]
    assert [(pair.route, pair.newest) for pair in pairs] == [(route, comparison)]


def test_a_route_that_relays_says_why_it_is_not_compared(route: Route) -> None:
    Route.objects.update(relays=True)
    assert "These two systems cannot be compared." in text_of(page_of_pair(route))
    assert "uses the webhook's own data" in text_of(page_of_pair(route))
    assert "uses the webhook's own data" in text_of(LIST)
    assert (
        f"{page_of_pair(route)}compare/" not in logged_in("support").get(page_of_pair(route)).content.decode()
    )


def test_a_comparison_in_progress_shows_how_far_it_is_and_is_cancelled(
    route: Route, monkeypatch: pytest.MonkeyPatch
) -> None:
    comparison = an_open_comparison(route, started_at=NOON, total_entities=10_000)
    monkeypatch.setattr(timezone, "now", lambda: NOON + timedelta(seconds=60))
    text = text_of(page_of_pair(route))
    assert "Reading the records of The shop" in text
    assert "3,000 of 10,000 · 50 a second · both are read in about 5 min 40 s" in text
    client = logged_in("support")
    assert 'data-poll="2"' in client.get(page_of_pair(route)).content.decode()
    assert client.post(f"{LIST}{comparison.uuid}/cancel/").status_code == 302
    comparison.refresh_from_db()
    assert comparison.state == "cancelled"
    assert len(entries("comparison.cancelled")) == 1
    assert "Reading" not in text_of(page_of_pair(route))
    assert "data-poll" not in re.sub("data-poll-note", "", client.get(page_of(comparison)).content.decode())


def test_what_is_left_to_confirm_is_the_progress_of_the_last_phase(route: Route) -> None:
    comparison = an_open_comparison(route, phase="confirming", to_confirm=5)
    for number in range(2):
        a_difference(comparison, number, status="candidate")
    assert "Checking each difference again" in text_of(page_of(comparison))
    assert "3 of 5" in text_of(page_of(comparison))
    assert "USR-1" not in text_of(page_of(comparison))


def test_a_failed_comparison_says_why_in_the_words_of_its_code(route: Route) -> None:
    comparison = a_comparison(route, state="failed", failure="identity-unavailable", counts={})
    assert "Aurora ID is unavailable" in text_of(page_of(comparison))
    assert "In step" not in text_of(page_of(comparison))


def some_differences(comparison: Comparison) -> None:
    a_difference(comparison, 1, fields=["email", "a\"b'ä"])
    a_difference(comparison, 2, fields=["name"])
    a_difference(comparison, 3, fields=[], status="not-confirmed")
    a_difference(comparison, 4, kind="missing-record", record_id="", fields=[])
    a_difference(comparison, 5, kind="unknown-record", entity_id="", fields=[])
    a_difference(comparison, 6, status="candidate")


@pytest.mark.submission
def test_differences_are_filtered_by_kind_field_status_and_either_id(route: Route) -> None:
    """Holds that each filter selects exactly its rows, on both databases, and that a candidate is never listed."""
    comparison = a_comparison(route)
    some_differences(comparison)
    some_differences(a_comparison(route))
    expected = {
        "": ["", "USR-4", "USR-3", "USR-2", "USR-1"],
        "?kind=differs": ["USR-3", "USR-2", "USR-1"],
        "?kind=missing-record": ["USR-4"],
        "?status=confirmed": ["", "USR-4", "USR-2", "USR-1"],
        "?status=not-confirmed": ["USR-3"],
        "?field=email": ["USR-1"],
        "?field=a%22b%27%C3%A4": ["USR-1"],
        "?field=mail": [],
        "?field=email&status=not-confirmed": [],
        "?q=USR-2": ["USR-2"],
        "?q=R5": [""],
        "?q=USR": [],
        "?kind=nothing": ["", "USR-4", "USR-3", "USR-2", "USR-1"],
        "?status=candidate": ["", "USR-4", "USR-3", "USR-2", "USR-1"],
        "?after=x": ["", "USR-4", "USR-3", "USR-2", "USR-1"],
    }
    assert {query: listed(comparison, query) for query in expected} == expected


def test_pages_of_differences_show_each_row_once(route: Route) -> None:
    comparison, seen = a_comparison(route), []
    Difference.objects.bulk_create(
        Difference(
            comparison=comparison,
            kind="differs",
            status="confirmed",
            entity_id=f"U{number}",
            since=timezone.now(),
        )
        for number in range(120)
    )
    client, query = logged_in("auditor"), "?kind=differs"
    while query:
        page = client.get(page_of(comparison) + query).context["page"]
        seen.append([row.row.entity_id for row in page.rows])
        query, back = page.page_links.older_url, page.page_links.newer_url
    assert [len(rows) for rows in seen] == [50, 50, 20]
    assert len({entity for rows in seen for entity in rows}) == 120
    previous = client.get(page_of(comparison) + back).context["page"]
    assert [row.row.entity_id for row in previous.rows] == seen[1]


def test_a_difference_leads_to_its_person_and_to_what_is_held_or_failed(route: Route) -> None:
    comparison = a_comparison(route)
    outcomes = (("held", "held"), ("held", MATCH_HELD_CODE), ("dead", "target-rejected"))
    events = [an_event(number, state=state, code=code) for number, (state, code) in enumerate(outcomes)]
    held = [a_delivery(event, route) for event in events]
    for number, event in enumerate(events):
        a_difference(comparison, number, delivery_state=event.state, code=event.code)
    html = logged_in("support").get(page_of(comparison)).content.decode()
    assert f"/admin/webhooks/event/{events[0].pk}/change/" in html
    assert "/admin/webhooks/event/?state=dead&amp;entity_type=USER&amp;entity_id=USR-2" in html
    assert f"/admin/sync/delivery/{held[1].pk}/record/" in html
    one = comparison.differences.get(entity_id="USR-0")
    assert (
        "/admin/webhooks/entity/?type=USER&amp;id=USR-0"
        in logged_in("support").get(f"{LIST}{comparison.uuid}/difference/{one.pk}/").content.decode()
    )


def test_the_file_has_ids_and_names_of_fields_and_no_formula(route: Route) -> None:
    """Holds that the file has the filtered rows of all pages, that a spreadsheet takes no cell for a formula, and that
    the audit log has the download, without the id that was searched for."""
    comparison = a_comparison(route)
    some_differences(comparison)
    a_difference(comparison, 7, entity_id="=cmd|'/c calc'!A0", record_id="@SUM(1)")
    client = logged_in("auditor")
    answer = client.get(f"{page_of(comparison)}download/csv?kind=differs")
    assert answer.streaming
    rows = list(csv.DictReader(b"".join(answer).decode().splitlines()))
    assert [row["entity_id"] for row in rows] == ["'=cmd|'/c calc'!A0", "USR-3", "USR-2", "USR-1"]
    assert rows[0]["record_id"] == "'@SUM(1)"
    assert set(rows[0]) == {
        *(
            "kind",
            "status",
            "entity_id",
            "record_id",
            "fields",
            "code",
            "delivery_state",
            "since",
            "exported_by",
        )
    }
    list(client.get(f"{page_of(comparison)}download/csv?q=USR-2"))
    started = [entry["details"]["filters"] for entry in entries("download.started")]
    assert started == [{"kind": "differs"}, {"q": "withheld"}]


def test_a_file_beyond_the_limit_is_not_sent(route: Route, settings: Any) -> None:
    settings.EXPORT_LIMIT = 2
    comparison = a_comparison(route)
    some_differences(comparison)
    answer = logged_in("auditor").get(f"{page_of(comparison)}download/csv", follow=True)
    assert "Nothing was downloaded" in answer.content.decode()
    assert not entries("download.started")


def test_without_the_permission_there_is_no_page_and_a_refused_download_is_recorded(route: Route) -> None:
    comparison = a_comparison(route)
    row = a_difference(comparison)
    visitor = logged_in()
    for address in (
        LIST,
        page_of_pair(route),
        page_of(comparison),
        f"{LIST}{comparison.uuid}/difference/{row.pk}/",
    ):
        assert visitor.get(address).status_code == 403
    assert visitor.get(f"{page_of(comparison)}download/csv").status_code == 403
    assert [entry["details"]["what"] for entry in entries("download.refused")] == ["differences"]
    auditor = logged_in("auditor")
    assert auditor.post(f"{page_of_pair(route)}compare/").status_code == 403
    assert auditor.post(f"{LIST}{comparison.uuid}/cancel/").status_code == 403
    assert auditor.post(f"{LIST}{comparison.uuid}/equal/", {"kinds": "differs"}).status_code == 403
    html = auditor.get(page_of(comparison)).content.decode()
    assert "/equal/" not in html
    assert not Job.objects.exists()


def equal(client: Any, comparison: Comparison, **values: Any) -> Any:
    form = {"route": comparison.route_id, "key": uuid4(), **values}
    return client.post(f"{LIST}{comparison.uuid}/equal/", form, follow=True)


def text_of_messages(answer: Any) -> str:
    return " ".join(str(message) for message in answer.context["messages"])


def test_only_differences_that_can_be_made_equal_are_selected(route: Route) -> None:
    """Holds that `entity-gone` is only made equal by itself, and kinds without a button never, whatever is posted."""
    older = a_comparison(route)
    comparison = a_comparison(
        route, counts={"differs": 2, "missing-record": 1, "entity-gone": 1, "unknown-record": 1}
    )
    some_differences(comparison)
    gone = a_difference(comparison, 8, kind="entity-gone")
    client = logged_in("support")
    ids = dict(comparison.differences.values_list("entity_id", "pk"))
    refused = (
        {"kinds": ["differs", "entity-gone"]},
        {"kinds": ["unknown-record"]},
        {"kinds": []},
        {"chosen": [ids["USR-1"], gone.pk]},
        {"chosen": [ids[""]]},
        {"chosen": [ids["USR-6"]]},
        {"kinds": ["differs"], "route": "999"},
        {"kinds": ["differs"], "key": "x"},
    )
    for values in refused:
        assert text_of_messages(equal(client, comparison, **values)), values
    assert "newer comparison" in text_of_messages(equal(client, older, kinds=["differs"]))
    assert not PersonRequest.objects.exists()
    html = client.get(page_of(comparison)).content.decode()
    assert html.count('value="entity-gone"') == 1
    assert 'value="unknown-record"' not in html
    assert sorted(map(int, re.findall(r'name="chosen"\s+value="(\d+)"', html))) == [
        ids[f"USR-{number}"] for number in range(1, 5)
    ]


@pytest.mark.submission
def test_the_page_needs_no_whole_table_for_any_filter(route: Route) -> None:
    """Holds that a page of 100,000 differences costs what one of ten costs: each statement uses an index."""
    comparison = a_comparison(route)
    some_differences(comparison)
    a_difference(comparison, 9, delivery_state="held", code="held")
    client = logged_in("support")
    client.get(page_of(comparison))
    queries = (
        "",
        "?kind=differs",
        "?status=confirmed",
        "?field=email",
        "?q=USR-1",
        "?after=0-1&kind=differs",
        "?before=0-9",
    )
    with recorded_statements() as statements:
        for query in queries:
            assert client.get(page_of(comparison) + query).status_code == 200
        client.get(page_of_pair(route))
        client.get(LIST)
        list(client.get(f"{page_of(comparison)}download/csv"))
    about = [
        one
        for one in statements
        if any(table in one.sql for table in ("sync_difference", "sync_comparison", "sync_delivery"))
        # The badges of the menu count small tables.
        and "sync_failuregroup" not in one.sql
    ]
    assert len(about) > 10
    assert find_unindexed_statements(connection, about) == {}
