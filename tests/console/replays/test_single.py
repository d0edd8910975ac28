"""A replay of one event: previewed with the live systems, then done once and recorded."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from audit.models import Entry
from console.replays.single import make_token
from console.ui.outcome_texts import describe_code
from sync.attempts.apply import plan_and_apply
from sync.limits.circuit_breaker import invalidate_breakers
from sync.models import Attempt, Breaker, Connection, MappingVersion, PersonRequest, Route
from tests.support.builders.history import a_delivery, a_route, an_event, logged_in
from tests.support.hub import ANNA, EXAMPLE, Hub
from tests.support.pages import text_of
from tests.support.people import browser, entries, reveal
from webhooks.models import Event, State, SubjectKey

LIST = "/admin/webhooks/event/"
WHY = "  the shop   was down "


def page_of(event: Event, query: str = "") -> str:
    return f"{LIST}{event.pk}/replay/{query}"


def confirmation_fields(client: Client, event: Event, query: str = "", **values: str) -> dict[str, str]:
    """Return the fields of the page's form."""
    page = client.get(page_of(event, query))
    choice = page.context["choice"]
    then = "then" if choice.uses_first_version else ""
    return {
        "token": page.context["token"],
        "payload_choice": choice.payload_choice,
        "mapping": then,
        "reason": WHY,
    } | values


def refused(hub: Hub, address: str = "taken@example.com", **carried: Any) -> Event:
    """Create an event that the shop rejected."""
    hub.change_email(address)
    fault = hub.shop.faults.add("refuse")
    body = {"id": ANNA, "entityType": "USER", "eventType": "UPDATE", **carried}
    assert hub.post_signed(body).status_code == 422
    hub.shop.faults.clear(fault.id)
    return Event.objects.latest("pk")


@pytest.mark.submission
def test_the_preview_shows_before_and_after_and_sends_nothing(hub: Hub) -> None:
    event = refused(hub)
    before = hub.customer()["email"]
    hub.change_email("anna.free@example.com")
    writes = len(hub.writes())
    support = logged_in("support")
    masked = support.get(page_of(event))
    assert sent(masked) == {"email": "•••"}
    assert "anna.free@example.com" not in text_of(masked)
    assert not entries("preview.revealed")
    page = reveal(support, event.pk, page_of(event))
    assert len(entries("preview.revealed")) == 1
    [preview] = page.context["previews"]
    assert [(row.name, row.before, row.sent) for row in preview.change.fields] == [
        ("email", before, "anna.free@example.com")
    ]
    assert f'<del class="was">{before}</del>' in text_of(page)
    assert len(hub.writes()) == writes
    assert Attempt.objects.count() == 1


def test_a_preview_is_recorded_with_person_and_calls_without_values(hub: Hub) -> None:
    event = refused(hub)
    support = logged_in("support")
    support.get(page_of(event), REMOTE_ADDR="192.0.2.9")
    person = f"person:{User.objects.get().pk}"
    [begun], [ended] = entries("preview.begun"), entries("preview.ended")
    assert (begun["actor"], begun["stream"]) == (person, f"event:{event.reference}")
    assert begun["details"] == {"systems": ["shop"], "address": "192.0.2.9"}
    assert [call.split()[0] for call in ended["details"]["calls"]] == ["GET", "GET"]
    assert all(call.endswith(" 200") for call in ended["details"]["calls"])
    assert ANNA not in json.dumps(ended)


@pytest.mark.promise("I4")
def test_a_failed_event_is_replayed_and_recorded_with_person_and_reason(hub: Hub) -> None:
    event = refused(hub)
    address = hub.change_email("anna.free@example.com")
    support = logged_in("support")
    answer = support.post(
        page_of(event), confirmation_fields(support, event), follow=True, REMOTE_ADDR="192.0.2.9"
    )
    assert answer.request["PATH_INFO"] == f"{LIST}{event.pk}/change/"
    hub.wait_until_idle()
    assert hub.customer()["email"] == address
    event.refresh_from_db()
    assert event.state == State.SUCCEEDED
    replay, person = PersonRequest.objects.get(), User.objects.get()
    assert (replay.requested_by, replay.reason) == (person, "the shop was down")
    assert Attempt.objects.latest("pk").person_request == replay
    [entry] = entries("event.replayed")
    assert (entry["stream"], entry["actor"]) == (f"event:{event.reference}", f"person:{person.pk}")
    assert entry["details"] == {"person_request": str(replay.uuid), "of": 1, "address": "192.0.2.9"}
    assert "shop was down" not in Entry.objects.get(action="event.replayed").body


@pytest.mark.submission
def test_an_unreachable_system_is_reported_and_the_replay_is_still_possible(
    hub: Hub,
) -> None:
    event = refused(hub, "anna.later@example.com")
    hub.shop.faults.add("error", status=503)
    support = logged_in("support")
    page = support.get(page_of(event))
    assert describe_code("target-unavailable", "The shop").title in text_of(page)
    assert "No preview is available" in text_of(page)
    hub.shop.faults.clear()
    form = {"token": page.context["token"], "payload_choice": "", "mapping": "", "reason": WHY}
    assert support.post(page_of(event), form).status_code == 302
    hub.wait_until_idle()
    event.refresh_from_db()
    assert event.state in (State.SUCCEEDED, State.UNCHANGED)


@pytest.mark.nightly  # the deadline of a call is measured by the clock
def test_a_preview_of_a_system_that_hangs_ends(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    event = refused(hub)
    monkeypatch.setattr("sync.previews.attempt_preview.CALL_SECONDS", 0.2)
    hub.shop.faults.add("hang", seconds=20)
    page = logged_in("support").get(page_of(event))
    hub.shop.faults.clear()
    assert "No preview is available" in text_of(page)


@pytest.mark.submission
def test_a_preview_has_a_deadline(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    event = refused(hub)
    monkeypatch.setattr("sync.replays.replay_preview.DEADLINE_SECONDS", -1.0)
    request_count = len(hub.identity.read_journal())
    page = browser("support").get(page_of(event))
    assert "The systems took too long to respond" in text_of(page)
    assert len(hub.identity.read_journal()) == request_count


@pytest.mark.submission
def test_previews_send_nothing_to_a_paused_connection(hub: Hub) -> None:
    event = refused(hub)
    shop = Connection.objects.get(slug="shop")
    until = timezone.now() + timedelta(minutes=5)
    Breaker.objects.update_or_create(
        connection=shop, defaults={"open_until": until, "code": "target-timeout"}
    )
    invalidate_breakers()
    request_count = len(hub.shop.read_journal())
    page = logged_in("support").get(page_of(event))
    assert "The connection is failing" in text_of(page)
    assert len(hub.shop.read_journal()) == request_count


@pytest.mark.submission
def test_a_preview_that_would_write_is_stopped_before_the_first_byte(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = refused(hub)
    hub.change_email("anna.never@example.com")
    monkeypatch.setattr("sync.attempts.apply.check_mass_change", lambda *_, **__: None)
    monkeypatch.setattr(
        "sync.previews.attempt_preview.plan_change", plan_and_apply
    )  # an engine that goes on to apply
    writes = len(hub.writes())
    page = logged_in("support").get(page_of(event))
    assert "No preview is available" in text_of(page)
    assert len(hub.writes()) == writes


def carrying(hub: Hub) -> Event:
    """Create a rejected event that carries old data, and a newer one that was applied."""
    data = {"id": ANNA, "emails": [{"address": "old@example.com", "verified": True}]}
    event = refused(hub, "old@example.com", data=data)
    hub.change_email("new@example.com")
    hub.post(EXAMPLE)
    return event


@pytest.mark.promise("I4")
def test_overwriting_newer_data_needs_its_own_permission(hub: Hub) -> None:
    event = carrying(hub)
    support, administrator = logged_in("support"), logged_in("administrator")
    shown = text_of(support.get(page_of(event)))
    assert "overwriting newer data" not in shown
    assert 'value="received"' in shown
    assert "Replay without sending" in text_of(support.get(page_of(event, "?payload_choice=received")))
    assert support.get(page_of(event, "?payload_choice=anyway")).status_code == 403
    form = confirmation_fields(support, event)
    assert support.post(page_of(event), form | {"payload_choice": "anyway"}).status_code == 403
    page = administrator.get(page_of(event, "?payload_choice=anyway"))
    assert "As you chose" in text_of(page)
    assert "Replay 1 event" in text_of(page)
    administrator.post(page_of(event), confirmation_fields(administrator, event, "?payload_choice=anyway"))
    hub.wait_until_idle()
    assert hub.customer()["email"] == "old@example.com"


@pytest.mark.submission
def test_an_undecryptable_payload_offers_no_choice(hub: Hub) -> None:
    event = carrying(hub)
    SubjectKey.objects.update(wrapped=None, destroyed_at=timezone.now())
    administrator = logged_in("administrator")
    page = administrator.get(page_of(event))
    assert page.status_code == 200
    assert "Payload as received" not in text_of(page)
    assert administrator.get(page_of(event, "?payload_choice=anyway")).status_code == 403
    administrator.post(page_of(event), confirmation_fields(administrator, event, "?payload_choice=received"))
    assert not PersonRequest.objects.exists()


@pytest.mark.submission
def test_the_original_mapping_is_offered_if_it_differs_and_previewed(hub: Hub) -> None:
    event = refused(hub)
    hub.change_email("anna.then@example.com")
    support = logged_in("support")
    assert "as at the time" not in text_of(support.get(page_of(event)))
    first = Attempt.objects.get().mapping_version
    declaration = json.loads(json.dumps(first.declaration))
    declaration["fields"]["email"] = {"constant": "now@example.com"}
    MappingVersion.objects.create(mapping=first.mapping, number=first.number + 1, declaration=declaration)
    page = reveal(support, event.pk, page_of(event))
    assert f"as at the time (version {first.number})" in text_of(page)
    assert sent(page) == {"email": "now@example.com"}
    page = support.get(page_of(event, "?mapping=then"))
    assert sent(page) == {"email": "anna.then@example.com"}
    support.post(page_of(event), confirmation_fields(support, event, "?mapping=then"))
    hub.wait_until_idle()
    assert Attempt.objects.latest("pk").mapping_version == first


def sent(page: Any) -> dict[str, str]:
    return {row.name: row.sent for preview in page.context["previews"] for row in preview.change.fields}


def test_an_event_without_a_route_says_so_and_cannot_be_replayed(hub: Hub) -> None:
    hub.post({"id": "X1", "entityType": "DEVICE", "eventType": "UPDATE"})
    page = text_of(logged_in("support").get(page_of(Event.objects.get())))
    assert "No route for this event." in page
    assert "Replay 1 event" not in page


@pytest.mark.submission
def test_an_event_that_had_no_route_is_previewed_on_the_current_route(hub: Hub) -> None:
    Route.objects.update(is_enabled=False)
    hub.change_email("anna.routed@example.com")
    hub.post(EXAMPLE)
    Route.objects.update(is_enabled=True)
    event = Event.objects.get()
    page = reveal(logged_in("support"), event.pk, page_of(event))
    assert sent(page) == {"email": "anna.routed@example.com"}
    event.refresh_from_db()
    assert (event.state, event.deliveries.count()) == (State.IGNORED, 0)


@pytest.mark.submission
def test_a_confirmation_for_another_event_is_refused(hub: Hub) -> None:
    event = refused(hub)
    hub.post(EXAMPLE)
    other = Event.objects.latest("pk")
    support = logged_in("support")
    form = confirmation_fields(support, other)
    assert "has expired" in text_of(support.post(page_of(event), form, follow=True))
    assert not PersonRequest.objects.exists()


def test_an_entity_that_neither_system_has_is_not_called_up_to_date(hub: Hub) -> None:
    hub.post_signed({"id": "NEVERSEEN", "entityType": "USER", "eventType": "DELETE"})
    event = Event.objects.latest("pk")
    assert event.state == "unchanged"
    text = text_of(browser("support").get(page_of(event)))
    assert "Nothing will be sent." in text


@pytest.mark.submission
@pytest.mark.django_db
def test_a_held_delivery_is_decided_and_not_replayed() -> None:
    event = an_event(state="held", code="held")
    delivery = a_delivery(event, a_route(event.source))
    support = logged_in("support")
    link = f'href="/admin/sync/delivery/route/{delivery.route_id}/"'
    shown = text_of(support.get(f"{LIST}{event.pk}/change/"))
    assert "Replay…" not in shown
    assert link in shown.split('<div id="live"')[0]
    form = {"token": make_token(event), "reason": "again"}
    for answer in (support.get(page_of(event)), support.post(page_of(event), form)):
        assert answer.status_code == 200
        assert "Nothing was replayed: this change is waiting for approval." in text_of(answer)
        assert link in text_of(answer)
    assert not PersonRequest.objects.exists()
    assert not Entry.objects.filter(action="preview.begun").exists()
