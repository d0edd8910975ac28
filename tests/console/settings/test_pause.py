"""Rotating, pausing and testing a source, and pausing a route, against the stand-in services."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.utils import timezone

from sync.models import Connection, Route
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


@pytest.mark.submission
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


@pytest.mark.submission
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


@pytest.mark.submission
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


@pytest.mark.submission
def test_a_route_is_paused_and_resumed_like_a_source(hub: Hub, aurora: Source) -> None:
    client, route = browser("administrator"), Route.objects.get(source=aurora, entity_type="USER")
    page = f"/admin/sync/route/{route.pk}/"
    client.post(f"{page}pause/", WHY)
    hub.post_signed(EXAMPLE)
    text = visible_text(client.get(f"{page}change/"))
    assert re.search(r"the shop moves By administrator, since .*\. 1 delivery ", text)
    for address in (f"{page}change/", "/admin/sync/route/", page_of(aurora)):
        assert "‖ Paused" in visible_text(client.get(address))
    client.post(f"{page}resume/", {"reason": "done"})
    assert "↻ Releasing" in visible_text(client.get(f"{page}change/"))
    for action, reason in (("route.paused", "the shop moves"), ("route.resumed", "done")):
        (entry,) = entries(action)
        assert (entry["stream"], entry["details"]["reason"]) == (f"setting:route:{route.pk}", reason)


@pytest.mark.submission
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


@pytest.fixture
def shop(hub: Hub) -> Iterator[Connection]:
    yield Connection.objects.get(slug="shop")
    Connection.objects.update(paused_at=None, resumed_at=timezone.now())
    enforce_pauses()
    call_command("deliver_due")


@pytest.mark.submission
def test_support_pauses_a_connection_for_some_hours_and_resumes_it(hub: Hub, shop: Connection) -> None:
    client, page = browser("support"), f"/admin/sync/connection/{shop.pk}/"
    assert "Pause…" in visible_text(client.get(f"{page}change/"))
    assert client.post(f"{page}pause/", {**WHY, "hours": "169"}).status_code == 200
    client.post(f"{page}pause/", {**WHY, "hours": "2"})
    address = hub.change_email("anna.waits@example.com")
    assert hub.post_signed(EXAMPLE).status_code == 202
    text = visible_text(client.get(f"{page}change/"))
    assert ("‖ Paused" in text, "It resumes by itself at" in text, "Resume…" in text) == (True, True, True)
    assert "‖ Paused" in visible_text(client.get("/admin/sync/connection/"))
    assert "The shop is paused." in visible_text(client.get("/admin/"))
    event = Event.objects.get(code__in=["", "pending"])
    assert "was paused" in visible_text(client.get(f"/admin/webhooks/event/{event.pk}/change/"))
    client.post(f"{page}resume/", {"reason": "done"})
    enforce_pauses()
    call_command("deliver_due")
    assert hub.customer()["email"] == address
    [paused] = entries("connection.deliveries-paused")
    assert (paused["details"]["reason"], "until" in paused["details"]) == ("the shop moves", True)
    assert entries("connection.deliveries-resumed")[0]["details"]["reason"] == "done"


def test_an_auditor_cannot_pause_a_connection(hub: Hub, shop: Connection) -> None:
    client, page = browser("auditor"), f"/admin/sync/connection/{shop.pk}/"
    assert "Pause…" not in visible_text(client.get(f"{page}change/"))
    assert client.post(f"{page}pause/", WHY).status_code == 403
    assert Connection.objects.filter(paused_at=None).count() == Connection.objects.count()
