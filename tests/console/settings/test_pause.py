"""Rotating, pausing and testing a source, and pausing a route, against the stand-in services."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.utils import timezone

from sync.models import Delivery, Route
from sync.operations.pauses import enforce_pauses
from tests.console.settings.source_pages import WHY, page_of, sent
from tests.support.builders.history import a_delivery, a_route, an_event
from tests.support.hub import EXAMPLE, Hub
from tests.support.pages import visible_text
from tests.support.people import browser, entries
from webhooks.models import Event, Source, State


@pytest.fixture
def aurora(hub: Hub) -> Iterator[Source]:
    yield Source.objects.get(slug="aurora")
    for model in (Source, Route):
        model.objects.update(paused_at=None, resumed_at=timezone.now())
    enforce_pauses()
    call_command("deliver_due")


def test_a_source_is_paused_and_resumed_each_with_a_reason(hub: Hub, aurora: Source) -> None:
    client = browser("administrator")
    pausing, resuming = (f"/admin/webhooks/source/{aurora.pk}/{way}/" for way in ("pause", "resume"))
    assert client.post(pausing).status_code == 200, "it needs a reason"
    client.post(pausing, WHY)
    address = hub.change_email("anna.waits@example.com")
    assert hub.post_signed(EXAMPLE).status_code == 202
    text = visible_text(client.get(page_of(aurora)))
    assert "‖ Paused" in text
    assert re.search(r"the shop moves By administrator, since [^.]*\. 1 delivery ", text)
    assert re.search(r"1 delivery .* 1,200 per minute", visible_text(client.get(resuming)))
    assert "1,200 per minute" in visible_text(client.post(resuming, {"reason": "done"}, follow=True))
    enforce_pauses()
    call_command("deliver_due")
    assert hub.customer()["email"] == address
    assert entries("source.paused")[0]["details"]["reason"] == "the shop moves"
    assert entries("source.resumed")[0]["details"]["reason"] == "done"


def test_resuming_names_deliveries_that_wait_for_another_pause(hub: Hub, aurora: Source) -> None:
    client, route = browser("administrator"), Route.objects.get(source=aurora, entity_type="USER")
    pages = [f"/admin/webhooks/source/{aurora.pk}/", f"/admin/sync/route/{route.pk}/"]
    for page in pages:
        client.post(f"{page}pause/", WHY)
    for page, other in zip(pages, (route, aurora), strict=True):
        text = visible_text(client.get(f"{page}resume/"))
        assert f"{other} is also paused" in text
    client.post(f"{pages[1]}resume/", WHY)
    assert "is also paused" not in visible_text(client.get(f"{pages[0]}resume/"))


def test_people_without_permission_cannot_pause_or_resume(hub: Hub, aurora: Source) -> None:
    administrator, reader = browser("administrator"), browser("support")
    route = Route.objects.get(source=aurora, entity_type="USER")
    for page in (f"/admin/webhooks/source/{aurora.pk}/", f"/admin/sync/route/{route.pk}/"):
        assert "Pause…" not in visible_text(reader.get(f"{page}change/"))
        assert reader.post(f"{page}pause/", WHY).status_code == 403
        administrator.post(f"{page}pause/", WHY)
        assert "Resume…" not in visible_text(reader.get(f"{page}change/"))
        assert reader.get(f"{page}resume/").status_code == 403
        assert reader.post(f"{page}resume/", WHY).status_code == 403


def test_a_person_who_may_change_a_source_but_not_its_secrets_can_pause_and_resume_it(
    hub: Hub, aurora: Source
) -> None:
    client = browser("support")
    person = User.objects.get(username="support")
    person.user_permissions.add(Permission.objects.get(codename="change_source"))
    assert "Pause…" in visible_text(client.get(page_of(aurora)))
    client.post(f"/admin/webhooks/source/{aurora.pk}/pause/", WHY)
    text = visible_text(client.get(page_of(aurora)))
    assert ("Resume…" in text, "Rotate secret…" in text) == (True, False)


@pytest.mark.django_db
@pytest.mark.parametrize("state", [State.PENDING, State.RETRYING])
@pytest.mark.parametrize("of", [Source, Route])
def test_a_delivery_on_hold_is_not_described_as_next(of: Any, state: str) -> None:
    event = an_event(state=state, code="target-timeout")
    a_delivery(event, a_route(event.source), due_at=None)
    client = browser("support")
    pages = ("/admin/webhooks/event/", f"/admin/webhooks/event/{event.pk}/change/")
    assert not any("On hold: source or route is paused" in visible_text(client.get(page)) for page in pages)
    of.objects.update(paused_at=timezone.now())
    assert all("On hold: source or route is paused" in visible_text(client.get(page)) for page in pages)


def test_a_route_is_paused_and_resumed_like_a_source(hub: Hub, aurora: Source) -> None:
    client, route = browser("administrator"), Route.objects.get(source=aurora, entity_type="USER")
    page = f"/admin/sync/route/{route.pk}/"
    client.post(f"{page}pause/", WHY)
    address = hub.change_email("anna.by-route@example.com")
    hub.post_signed(EXAMPLE)
    text = visible_text(client.get(f"{page}change/"))
    assert "‖ Paused" in text
    assert re.search(r"the shop moves By administrator, since .*\. 1 delivery ", text)
    assert "‖ Paused" in visible_text(client.get("/admin/sync/route/"))
    assert "‖ Paused" in visible_text(client.get(page_of(aurora))), "the source says so beside its route"
    event = visible_text(client.get(f"/admin/webhooks/event/{Event.objects.get().pk}/change/"))
    assert re.search(r"paused .* by administrator: the shop moves\.", event)
    client.post(f"{page}resume/", {"reason": "done"})
    assert "↻ Releasing" in visible_text(client.get(f"{page}change/"))
    enforce_pauses()
    call_command("deliver_due")
    assert hub.customer()["email"] == address
    stream = f"setting:route:{route.pk}"
    pauses = [(entry["stream"], entry["details"]["reason"]) for entry in entries("route.paused")]
    assert pauses == [(stream, "the shop moves")]
    assert entries("route.resumed")[0]["details"]["reason"] == "done"


def test_a_test_event_reaches_no_system(hub: Hub) -> None:
    of = Source.objects.get(slug="aurora")
    Route.objects.filter(source=of, entity_type="USER").update(entity_type="HUB-TEST")
    sent(browser("administrator"), of)
    assert Event.objects.count() == 1
    assert not Delivery.objects.exists()
    assert not hub.shop.read_journal()


def test_webhooks_pass_during_a_rotation_and_the_old_secret_is_refused_once_it_is_ended(hub: Hub) -> None:
    of, client = Source.objects.get(slug="aurora"), browser("administrator")
    old = of.secrets.get()
    rotate = f"/admin/webhooks/source/{of.pk}/rotate/"
    newest = client.get(rotate).context["form"].initial["newest"]
    client.post(rotate, {"typed": "", "hours": "24", "newest": newest, "reason": "once a year"})
    assert hub.post_signed(EXAMPLE).status_code == 200, "still signed with the old one"
    text = visible_text(client.get(page_of(of)))
    assert re.search(rf"{re.escape(str(old))} .* in 23 h 59 min 1 webhook, last .* still used", text)
    sent(client, of)  # signed with the new one
    client.post(
        f"/admin/webhooks/source/{of.pk}/secrets/{old.pk}/end/", {"reason": "the sender has the new one"}
    )
    assert hub.post_signed(EXAMPLE).status_code == 401
    sent(client, of)
    assert [entry["details"]["status"] for entry in entries("source.tested")] == [200, 200]
