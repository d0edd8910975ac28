"""Replay: said beforehand, done once, with who and why on record."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from audit.models import Entry
from integration_hub.console.replay_choice import _KEPT
from sync.models import Attempt, Replay, Request
from tests.console.history import a_delivery, a_replay, a_route, an_event, logged_in
from tests.hub import ANNA, EXAMPLE, Hub
from webhooks.models import Event, State

LIST = "/admin/webhooks/event/"
WHY = {"reason": "  the shop   was down "}


def chosen(client: Client, *events: Event) -> str:
    """The address of the page that confirms the replay of these events."""
    keys = [event.pk for event in events]
    answer = client.post(LIST, {"action": "replay_selected", "_selected_action": keys, "index": 0})
    assert answer.status_code == 302
    return str(answer["Location"])


def text_of(answer: Any) -> str:
    return re.sub(r"\s+", " ", answer.content.decode())


def test_a_failed_event_is_replayed_with_who_and_why_on_record(hub: Hub) -> None:
    hub.change_email("taken@example.com")
    assert hub.post(EXAMPLE).status_code == 422
    address = hub.change_email("anna.free@example.com")
    event = Event.objects.get()
    support = logged_in("support")
    page = support.post(f"{LIST}{event.pk}/replay/", follow=True)
    assert "Replay 1 event?" in text_of(page)
    assert "The shop: 1 delivery" in text_of(page)
    done = support.post(page.request["PATH_INFO"], WHY, follow=True, REMOTE_ADDR="192.0.2.9")
    assert "1 event will be sent again (1 delivery)." in text_of(done)
    assert done.request["PATH_INFO"] == f"{LIST}{event.pk}/change/"
    hub.wait_until_idle()
    assert hub.customer()["email"] == address
    event.refresh_from_db()
    assert event.state == State.SUCCEEDED
    replay, person = Replay.objects.get(), User.objects.get()
    assert (replay.requested_by, replay.reason, replay.events, replay.deliveries) == (
        person,
        "the shop was down",
        1,
        1,
    )
    assert [(each.cause, each.replay) for each in Attempt.objects.order_by("pk")] == [
        ("webhook", None),
        ("replay", replay),
    ]
    entry = Entry.objects.get(action="event.replayed")
    details = json.loads(entry.body)["details"]
    assert (entry.stream, entry.actor) == (f"event:{event.reference}", f"person:{person.pk}")
    assert details == {"replay": str(replay.uuid), "of": 1, "address": "192.0.2.9"}
    assert "shop was down" not in entry.body


def test_many_are_replayed_at_once_and_what_has_no_route_is_said_before_and_after(hub: Hub) -> None:
    hub.change_email("anna.many@example.com")
    for body in (EXAMPLE, {"id": "USR-2", "entityType": "USER", "eventType": "UPDATE"}):
        hub.post(body)
    hub.post({"id": "X1", "entityType": "DEVICE", "eventType": "UPDATE"})
    support = logged_in("support")
    path = chosen(support, *Event.objects.all())
    page = text_of(support.get(path))
    assert 'value="Replay 2 events"' in page
    assert "1 event without a route: nothing will be sent for it." in page
    done = support.post(path, WHY, follow=True)
    replay = Replay.objects.get()
    assert done.request["PATH_INFO"] == f"/admin/sync/replay/{replay.pk}/change/"
    assert "2 events will be sent again (2 deliveries). 1 event without a route left alone." in text_of(done)
    hub.wait_until_idle()
    assert Attempt.objects.filter(replay=replay).count() == 2
    assert Event.objects.get(entity_id="X1").state == State.IGNORED


def test_a_second_click_or_a_reload_starts_nothing_twice(hub: Hub) -> None:
    hub.post(EXAMPLE)
    support = logged_in("support")
    path = chosen(support, Event.objects.get())
    assert support.post(path, WHY).status_code == 302
    hub.wait_until_idle()
    again = support.post(path, WHY, follow=True)
    assert "This was started already" in text_of(again)
    assert "This was started already" in text_of(support.get(path, follow=True))
    hub.wait_until_idle()
    assert Replay.objects.count() == 1
    assert Attempt.objects.count() == 2


def test_two_clicks_at_the_same_moment_start_one_replay(hub: Hub) -> None:
    hub.post(EXAMPLE)
    support = logged_in("support")
    path = chosen(support, Event.objects.get())

    def click(_: int) -> int:
        browser = Client()
        browser.cookies = support.cookies
        try:
            return int(browser.post(path, WHY).status_code)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as clicks:
        assert list(clicks.map(click, range(4))) == [302] * 4
    hub.wait_until_idle()
    assert Replay.objects.count() == 1
    assert Attempt.objects.filter(cause="replay").count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize("reason", ["", "   ", "x" * 501])
def test_without_a_good_reason_nothing_is_replayed(reason: str) -> None:
    event = an_event()
    a_delivery(event, a_route(event.source))
    support = logged_in("support")
    answer = support.post(chosen(support, event), {"reason": reason})
    assert answer.status_code == 200
    assert "errorlist" in text_of(answer)
    assert not Replay.objects.exists()


@pytest.mark.django_db
def test_where_nothing_has_a_route_nothing_can_be_started() -> None:
    event = an_event()
    support = logged_in("support")
    path = chosen(support, event)
    page = text_of(support.get(path))
    assert "There is nothing to replay" in page
    assert 'type="submit" class="default"' not in page
    support.post(path, WHY)
    assert not Replay.objects.exists()


@pytest.mark.django_db
def test_who_may_not_replay_gets_no_button_and_a_403() -> None:
    event = an_event()
    support, auditor = logged_in("support"), logged_in("auditor")
    path = chosen(support, event)
    assert "replay_selected" not in text_of(auditor.get(LIST))
    assert "Replay…" not in text_of(auditor.get(f"{LIST}{event.pk}/change/"))
    assert auditor.post(f"{LIST}{event.pk}/replay/").status_code == 403
    assert auditor.get(path).status_code == 403
    assert auditor.post(path, WHY).status_code == 403
    assert support.get(f"{LIST}{event.pk}/replay/").status_code == 405


@pytest.mark.django_db
def test_a_choice_is_its_persons_own_and_not_kept_for_ever() -> None:
    event = an_event()
    support = logged_in("support")
    first = chosen(support, event)
    assert "not kept any more" in text_of(logged_in("support").get(first, follow=True))
    for _ in range(_KEPT):
        chosen(support, event)
    assert "not kept any more" in text_of(support.get(first, follow=True))


@pytest.mark.django_db
def test_the_button_cannot_be_pressed_from_another_site() -> None:
    event = an_event()
    support = Client(enforce_csrf_checks=True)
    support.force_login(User.objects.create_superuser("root"))
    assert support.post(f"{LIST}{event.pk}/replay/").status_code == 403


@pytest.mark.django_db
def test_the_filters_bound_what_select_all_means() -> None:
    wanted = an_event(1, state="dead")
    an_event(2)
    a_delivery(wanted, a_route(wanted.source))
    support = logged_in("support")
    everything = {"action": "replay_selected", "_selected_action": [wanted.pk], "select_across": 1}
    page = support.post(f"{LIST}?state=dead", everything, follow=True)
    assert [event.pk for event in page.context["foreseen"].events] == [wanted.pk]


@pytest.mark.django_db
def test_the_preview_costs_the_same_for_two_events_and_for_forty() -> None:
    support = logged_in("support")
    route = a_route(an_event(0).source)
    for number in range(1, 41):
        a_delivery(an_event(number), route)
    events = list(Event.objects.all())
    few, many = chosen(support, *events[:2]), chosen(support, *events)
    with CaptureQueriesContext(connection) as two:
        support.get(few)
    with CaptureQueriesContext(connection) as forty:
        page = support.get(many)
    assert len(forty) == len(two)
    assert "and 21 more" in text_of(page)
    assert ANNA not in text_of(page)


@pytest.mark.django_db
def test_the_list_is_of_replays_and_decisions_have_lists_of_their_own() -> None:
    person = User.objects.create_user("maija")
    for kind in Request:
        a_replay(person, kind=kind, reason=f"because of a {kind}")
    support = logged_in("support")
    for query, kind in (("", "replay"), ("?kind=approval", "approval"), ("?kind=closing", "closing")):
        page = text_of(support.get(f"/admin/sync/replay/{query}"))
        shown = [each for each in Request.values if f"because of a {each}" in page]
        assert shown == [kind], query
        assert f'<td class="field-kind">{kind}</td>' in page
