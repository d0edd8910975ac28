"""One line a pair: how many entities are in step, when it was compared, and when it is next."""

from datetime import datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from console.ui.comparison_texts import render_pair_line, render_pair_pill, schedule_sentences
from sync.models import Comparison, Connection, Route
from sync.monitoring.comparison_figures import load_pairs
from tests.support.builders.differences import a_comparison, a_difference
from tests.support.builders.history import NOON, a_route, a_source, an_event
from tests.support.pages import visible_text, without_tags
from tests.support.people import browser

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
COUNTS = {"in-step": 9_786, "differs": 214, "unlinked-record": 3, "others": 12, "in-step-removed": 5}


def compare(route: Route, ended_at: datetime, **values: Any) -> None:
    times = {"requested_at": ended_at - HOUR / 6, "ended_at": ended_at}
    a_comparison(route, **{"counts": COUNTS} | times | values)


def line(now: datetime = NOON) -> str:
    (pair,) = load_pairs()
    return without_tags(render_pair_line(pair, now)).replace(" ,", ",").replace(" .", ".")


def pill() -> str:
    (pair,) = load_pairs()
    return without_tags(render_pair_pill(pair))


def test_the_line_has_the_counts_and_both_times() -> None:
    route = a_route(a_source(), compare_every_hours=24)
    compare(route, NOON - 10 * HOUR)
    assert line() == (
        "In step 9,786 of 10,000, differs 214, record without a link 3, compared 02:00, next 01:50."
    )
    assert pill() == "≠ Not in step"
    assert "compared 2026-03-04 02:00, due since 2026-03-05 01:50" in line(NOON + 48 * HOUR)


@pytest.mark.parametrize(
    ("states", "expected", "mark"),
    [
        ([], "Not compared yet.", "Not compared"),
        (["waiting"], "Not compared yet, being compared now.", "Not compared"),
        (["failed"], "Not compared yet, the last comparison failed.", "Failed"),
        (["done", "failed"], "In step 5 of 5, compared 11:00, the last comparison failed.", "Failed"),
        (["failed", "done"], "In step 5 of 5, compared 11:00.", "In step"),
        (["done", "cancelled"], "In step 5 of 5, compared 11:00.", "In step"),
        (["done", "running"], "In step 5 of 5, compared 11:00, being compared now.", "In step"),
    ],
)
def test_the_line_says_what_is_known_whatever_came_last(states: list[str], expected: str, mark: str) -> None:
    """Holds that a failed or running comparison neither hides nor replaces the last result."""
    route = a_route(a_source())
    for state in states:
        compare(route, NOON - HOUR, state=state, counts={"in-step": 5})
    assert line() == expected
    assert pill().endswith(mark)


def test_an_incomplete_comparison_is_not_in_step() -> None:
    compare(a_route(a_source()), NOON - HOUR, counts={"in-step": 5}, target_gap="list-incomplete")
    assert (line(), pill()) == ("In step 5 of 5, incomplete, compared 11:00.", "! Incomplete")


def test_what_does_not_stay_equal_is_reported() -> None:
    route = a_route(a_source(), compare_every_hours=24, repairs_differences=True, max_repairs=7)
    compare(route, NOON - HOUR, counts={"differs": 2}, unstable=2, repair="too-many")
    assert "does not stay equal 2" in line()
    (pair,) = load_pairs()
    assert list(schedule_sentences(route, pair)) == [
        "Compared every 24 hours. If there are at most 7 differences, they are made equal automatically.",
        "After the last scheduled comparison: nothing was made equal: it found too many differences.",
    ]


@pytest.mark.submission
def test_the_overview_and_the_pages_of_route_and_source_have_the_line() -> None:
    route = a_route(a_source())
    an_event(received_at=timezone.now())
    relaying = a_route(route.source, entity_type="GROUP")
    Route.objects.filter(pk=relaying.pk).update(relays=True)
    client = browser()
    pages = [
        "/admin/",
        f"/admin/sync/route/{route.pk}/change/",
        f"/admin/webhooks/source/{route.source_id}/change/",
    ]
    for page in pages:
        assert "Not compared yet." in visible_text(client.get(page)), page
    compare(route, timezone.now() - HOUR)
    for page in pages:
        text = visible_text(client.get(page))
        assert "In step 9,786 of 10,000, differs 214" in text, page
        assert "Not compared yet" not in text, page
    text = unescape(visible_text(client.get(f"/admin/sync/route/{relaying.pk}/change/")))
    assert "This route uses the webhook's own data, so the two systems cannot be compared." in text
    assert "USER: Aurora ID → The shop" in visible_text(client.get("/admin/"))
    assert "GROUP" not in visible_text(client.get("/admin/"))


def test_the_comparison_reports_what_the_schedule_did_and_what_does_not_stay_equal() -> None:
    route = a_route(a_source())
    compare(route, timezone.now(), counts={"differs": 2}, unstable=1, repair="made", cause="schedule")
    comparison = Comparison.objects.get()
    a_difference(comparison, "differs", "U1", is_repaired=True)
    a_difference(comparison, "differs", "U2", repairs=3)
    an_event(received_at=timezone.now())
    client = browser()
    overview = client.get("/admin/").text
    assert f'href="/admin/sync/comparison/{comparison.uuid}/change/"' in overview
    text = visible_text(client.get(f"/admin/sync/comparison/{comparison.uuid}/change/"))
    assert "Differences were made equal. 1 difference does not stay equal" in text
    assert "Differs made equal by the schedule" in text
    assert "Differs does not stay equal" in text


def test_all_pairs_take_two_statements() -> None:
    """The overview and the alarms load them: no statement a pair."""
    route = a_route(a_source())

    def statements() -> int:
        with CaptureQueriesContext(connection) as seen:
            load_pairs()
        return len(seen)

    assert statements() == 1
    compare(route, NOON)
    assert statements() == 2
    for number in range(5):
        other = Connection.objects.create(
            slug=f"crm{number}", name=f"CRM {number}", side="target", connector="rest-target"
        )
        for state in ("done", "failed", "running"):
            compare(
                a_route(route.source, target=other) if state == "done" else Route.objects.latest("pk"),
                NOON,
                state=state,
            )
    assert statements() == 2
    assert len(load_pairs()) == 6
