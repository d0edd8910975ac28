"""The pages on which a route goes live and observes again, and what its other pages say of it."""

from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.utils import timezone

from connectors.presets import load_preset
from sync.models import Comparison, Connection, MappingVersion, PersonRequest, Route
from tests.support.builders.compared_pairs import a_comparison, a_difference
from tests.support.builders.history import a_route, a_source, logged_in
from tests.support.builders.observed_events import a_planned_change, an_observed_event
from tests.support.pages import visible_text
from tests.support.people import entries

pytestmark = pytest.mark.django_db

LIST = "/admin/sync/route/"
COUNTS = {"in-step": 5, "missing-record": 3, "differs": 2, "found-by-value": 4, "unmappable": 1}


@pytest.fixture
def route() -> Route:
    route = a_route(a_source(), mode="observe")
    MappingVersion.objects.update(declaration={"fields": {"mail": {"path": "entity.mail"}}})
    return route


def compared(route: Route, **values: Any) -> Comparison:
    at = timezone.now() - timedelta(minutes=5)
    times = {"requested_at": at, "started_at": at, "ended_at": at}
    return a_comparison(route, **{**times, "counts": COUNTS, "field_counts": {"mail": 2}, **values})


def live_page(route: Route) -> str:
    return f"{LIST}{route.pk}/live/"


def text_of(address: str, role: str = "administrator") -> str:
    return unescape(visible_text(logged_in(role).get(address)))


def confirmed(answer: Any) -> dict[str, str]:
    """Return what the form of the page sends, with a reason."""
    context = answer.context
    comparison = context["expected"].evidence
    values = {"seen": context["seen"], "reason": "checked with the shop"}
    return values | ({"comparison": str(comparison.uuid)} if comparison else {})


def test_a_route_goes_live_with_the_numbers_on_the_page_and_is_offered_what_no_event_delivers(
    route: Route, settings: Any
) -> None:
    """Holds the way: numbers, reason, switch, then the differences as a bulk replay, with a second person above the
    limit even for an administrator.
    """
    settings.REPLAY_LIMIT = 4
    comparison = compared(route)
    for number, kind in enumerate(
        ("missing-record", "missing-record", "missing-record", "differs", "differs")
    ):
        a_difference(comparison, number, kind=kind)
    client = logged_in("administrator")
    answer = client.get(live_page(route))
    text = unescape(visible_text(answer))
    for line in (
        "Records created 3 0",
        "Records updated 2 0",
        "Matches to decide 4 0",
        "Failures 1 0",
        "mail 2 0",
    ):
        assert line in text
    assert client.post(live_page(route), {"seen": "", "comparison": str(comparison.uuid)}).status_code == 200
    assert Route.objects.get().observes, "it needs a reason"
    shown = client.post(live_page(route), confirmed(answer), follow=True)
    assert not Route.objects.get().observes
    assert entries("route.went-live")[0]["details"]["counts"] == COUNTS
    assert "Create the missing records 3" in unescape(visible_text(shown))
    chosen = {"kinds": ["missing-record", "differs"], "route": route.pk, "key": shown.context["equal_key"]}
    asked = client.post(f"/admin/sync/comparison/{comparison.uuid}/equal/", chosen, follow=True)
    assert asked.context["replay"].route == route
    assert asked.context["needs_second"]
    terms = {"reason": "first load", "pace": "gentle", "pauses": "on"}
    client.post(f"/admin/sync/personrequest/{PersonRequest.objects.get().uuid}/confirm/", terms)
    assert PersonRequest.objects.get().state == "awaiting"


def test_an_old_comparison_is_repeated_before_the_route_goes_live(route: Route) -> None:
    """Holds that a page which was open for too long compares again, and that the route goes on observing."""
    for side, preset in ((route.identity, "sandbox-identity"), (route.target, "sandbox-shop")):
        Connection.objects.filter(pk=side.pk).update(settings=load_preset(preset)["settings"])
    comparison = compared(route)
    client = logged_in("administrator")
    given = confirmed(client.get(live_page(route)))
    Comparison.objects.filter(pk=comparison.pk).update(ended_at=timezone.now() - timedelta(hours=25))
    text = unescape(visible_text(client.post(live_page(route), given, follow=True)))
    assert "The comparison is older than 24 hours. The two systems are compared again." in text
    assert "The two systems are being compared." in text
    assert Comparison.objects.latest("pk").cause == "person"
    assert Route.objects.get().observes


def test_without_a_comparison_the_page_asks_for_a_sentence(route: Route) -> None:
    client = logged_in("administrator")
    answer = client.get(live_page(route))
    assert "Type: There is no comparison" in unescape(visible_text(answer))
    given = confirmed(answer)
    assert "Type “There is no comparison”" in unescape(visible_text(client.post(live_page(route), given)))
    assert Route.objects.get().observes
    client.post(live_page(route), given | {"sentence": "There is no comparison"})
    assert not Route.objects.get().observes


def test_a_route_that_went_live_says_what_its_comparison_does_not_cover(route: Route) -> None:
    """Holds that an event which was observed after the comparison began is not forgotten by going live."""
    comparison = compared(route)
    for minutes in (10, 1):
        at = timezone.now() - timedelta(minutes=minutes)
        an_observed_event(route, minutes, a_planned_change("update", mail="x"), at=at)
    Route.objects.update(mode="live", mode_since=timezone.now())
    text = text_of(live_page(route))
    assert "1 event was observed after the comparison began." in text
    assert "Compare again" not in text, "the settings of these systems have no list"
    Comparison.objects.filter(pk=comparison.pk).update(requested_at=timezone.now())
    assert "observed after" not in text_of(live_page(route))


def test_a_route_observes_again_for_a_reason(route: Route) -> None:
    Route.objects.update(mode="live")
    client, page = logged_in("administrator"), f"{LIST}{route.pk}/observe/"
    seen = client.get(page).context["seen"]
    client.post(page, {"seen": seen})
    assert not Route.objects.get().observes, "it needs a reason"
    client.post(page, {"seen": seen, "reason": "the shop complains"})
    assert Route.objects.get().observes
    assert entries("route.mode")[0]["details"]["reason"] == "the shop complains"
    assert client.post(page, {"seen": "yesterday", "reason": "why"}).status_code == 200
    history = client.get(f"{LIST}{route.pk}/history/", follow=True)
    assert "let a route only observe" in unescape(visible_text(history))


def test_each_page_of_a_route_says_that_it_observes_and_what_it_would_do(route: Route) -> None:
    """Holds that readers see both sources of the numbers, without the button."""
    compared(route)
    an_observed_event(route, 1, a_planned_change("update", mail="x", phone="y"))
    text = text_of(f"{LIST}{route.pk}/change/", "support")
    for line in (
        "◎ Observing",
        "nothing is written to The shop",
        "Records updated 2 1",
        "mail 2 1",
        "phone 0 1",
    ):
        assert line in text
    assert "Go live" not in text
    assert "Go live…" in text_of(f"{LIST}{route.pk}/change/")
    assert "◎ Observing" in text_of(LIST, "support")
    overview = text_of("/admin/", "support")
    assert f"{route} observes." in overview
    assert "◎ Observing" in overview
    Route.objects.update(mode="live")
    assert all("bserv" not in text_of(page) for page in (LIST, "/admin/"))
    assert "What it would do" not in text_of(f"{LIST}{route.pk}/change/")


def test_a_route_without_comparisons_goes_live_by_the_sentence_alone(route: Route) -> None:
    Route.objects.update(relays=True)
    text = text_of(live_page(route))
    assert "uses the webhook's own data" in text
    assert "Compare first" in text
    assert "Go live without a comparison" in text
