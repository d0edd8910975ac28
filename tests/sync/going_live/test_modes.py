"""A route goes live on the evidence of a comparison, or on a typed sentence, and back; each with an entry."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from sync.attempts.event_outcome import load_event_outcome
from sync.deliveries.event_state import refresh_event_states
from sync.deliveries.routes import get_resolved_route, resolved_routes
from sync.going_live.modes import ComparisonOutdated, ModeChangeRefused, go_live, observe_again
from sync.models import Comparison, MappingVersion, Route
from tests.support.builders.compared_pairs import a_comparison
from tests.support.builders.history import a_delivery, a_route, a_source, an_event, logged_in
from tests.support.builders.observing_routes import hold_cached_routes
from tests.support.people import entries, person
from webhooks.models import Event

pytestmark = pytest.mark.django_db

SENTENCE = "There is no comparison"


@pytest.fixture
def route() -> Route:
    route = a_route(a_source(), mode="observe")
    MappingVersion.objects.update(declaration={"fields": {"mail": {"path": "entity.mail"}}})
    resolved_routes.invalidate()
    return route


@pytest.fixture
def somebody() -> User:
    return person("administrator", "maija")


def compared(route: Route, **values: Any) -> Comparison:
    return a_comparison(route, **{"ended_at": timezone.now() - timedelta(hours=23)} | values)


def test_a_route_goes_live_with_the_numbers_of_its_comparison_on_the_record(
    route: Route, somebody: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Holds that the mode takes effect at once in this process, and that the entry names what the person has seen."""
    hold_cached_routes(monkeypatch)
    assert get_resolved_route(route.pk).route.observes
    comparison = compared(route, counts={"in-step": 7, "missing-record": 3}, target_gap="list-sample")
    go_live(route, by=somebody, reason="  all  checked ", comparison=comparison.uuid, address="192.0.2.1")
    assert not Route.objects.get().observes
    assert not get_resolved_route(route.pk).route.observes
    [entry] = entries("route.went-live")
    assert (entry["stream"], entry["actor"]) == (f"route:{route.pk}", f"person:{somebody.pk}")
    details = entry["details"]
    assert (details["before"], details["after"]) == ({"mode": "observe"}, {"mode": "live"})
    assert (details["reason"], details["address"]) == ("all checked", "192.0.2.1")
    assert details["comparison"] == str(comparison.uuid)
    assert (details["counts"], details["target_gap"]) == (comparison.counts, "list-sample")


def test_a_route_observes_again_at_any_time(route: Route, somebody: User) -> None:
    Route.objects.update(mode="live")
    route.refresh_from_db()
    observe_again(route, by=somebody, reason="too early")
    stored = Route.objects.get()
    assert stored.observes
    assert stored.mode_since == route.mode_since
    [entry] = entries("route.mode")
    assert entry["stream"] == f"route:{route.pk}"
    assert (entry["details"]["after"], entry["details"]["reason"]) == ({"mode": "observe"}, "too early")


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("state", "refusal"),
    [
        ({}, ModeChangeRefused),
        ({"ended_at": timedelta(hours=25)}, ComparisonOutdated),
        ({"version": 2}, ComparisonOutdated),
        ({"newer": True}, ModeChangeRefused),
        ({"state": "failed"}, ModeChangeRefused),
        ({"relays": True}, ModeChangeRefused),
        ({"reason": " \n"}, ModeChangeRefused),
        ({"seen": timezone.now()}, ModeChangeRefused),
        ({"mode": "live"}, ModeChangeRefused),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else None,
)
def test_a_route_does_not_go_live_without_evidence(
    state: dict[str, Any], refusal: type[ModeChangeRefused], route: Route, somebody: User
) -> None:
    """Holds that an old comparison, one with another mapping, of another time or of nothing changes nothing."""
    age = state.get("ended_at", timedelta(hours=1))
    comparison = compared(route, ended_at=timezone.now() - age, state=state.get("state", "done"))
    if "version" in state:
        MappingVersion.objects.create(mapping=route.mapping, number=2, declaration={})
    if "newer" in state:
        compared(route)
    Route.objects.update(relays="relays" in state, mode=state.get("mode", "observe"))
    route.refresh_from_db()
    with pytest.raises(refusal):
        go_live(
            route,
            by=somebody,
            reason=state.get("reason", "why"),
            comparison=uuid4() if not state else comparison.uuid,
            seen=state.get("seen"),
        )
    assert Route.objects.get().mode == state.get("mode", "observe")
    assert not entries("route.went-live")


@pytest.mark.one_database
def test_without_a_comparison_a_sentence_is_typed(route: Route, somebody: User) -> None:
    """Holds that the sentence is needed, and is refused where it is not true."""
    for typed in ("", "yes", "There is a comparison"):
        with pytest.raises(ModeChangeRefused):
            go_live(route, by=somebody, reason="why", sentence=typed)
    comparison = compared(route)
    with pytest.raises(ModeChangeRefused):
        go_live(route, by=somebody, reason="why", sentence=SENTENCE)
    assert route.observes
    Comparison.objects.filter(pk=comparison.pk).update(ended_at=timezone.now() - timedelta(days=2))
    go_live(route, by=somebody, reason="why", sentence=f" {SENTENCE.lower()}. ")
    details = entries("route.went-live")[0]["details"]
    assert (details["comparison"], details["confirmed"]) == (None, SENTENCE)


def test_a_form_that_is_sent_again_does_not_go_live_a_second_time(route: Route, somebody: User) -> None:
    """Holds that one confirmation is one change, even after the route was sent back to observing."""
    comparison = compared(route)
    seen = route.mode_since
    again = Route.objects.get()
    go_live(route, by=somebody, reason="why", comparison=comparison.uuid, seen=seen)
    with pytest.raises(ModeChangeRefused):
        go_live(again, by=somebody, reason="why", comparison=comparison.uuid, seen=seen)
    observe_again(route, by=somebody, reason="stop", seen=route.mode_since)
    with pytest.raises(ModeChangeRefused):
        go_live(again, by=somebody, reason="why", comparison=comparison.uuid, seen=seen)
    assert Route.objects.get().observes
    assert len(entries("route.went-live")) == 1


def test_an_open_delivery_decides_about_its_event_once_its_route_is_live(
    route: Route, somebody: User
) -> None:
    """Holds that list, page and answer agree before and after: beside another route, observing decides nothing."""
    event = an_event(1, source=route.source)
    a_delivery(event, a_route(route.source, entity_type="GROUP"))
    a_delivery(event, route, state="retrying", code="target-timeout", due_at=timezone.now())
    refresh_event_states([event.pk])
    shown = [seen_state(event)]
    go_live(route, by=somebody, reason="checked", sentence=SENTENCE)
    shown.append(seen_state(event))
    observe_again(route, by=somebody, reason="too early", seen=route.mode_since)
    shown.append(seen_state(event))
    succeeded, retrying = ("succeeded",) * 3, ("retrying",) * 3
    assert shown == [succeeded, retrying, succeeded]


def seen_state(event: Event) -> tuple[str, str, str]:
    """Return the state of an event in the list, on its page and in an answer."""
    client = logged_in("administrator")
    [row] = client.get("/admin/webhooks/event/").context["page"].rows
    page = client.get(f"/admin/webhooks/event/{event.pk}/change/").context["page"]
    return row.event.state, page.state, load_event_outcome(event).state
