"""Compare now: both sides are fetched for one entity, with or without events, or for one record, and nothing is sent."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from sync.models import Link, Route
from sync.previews import attempt_preview
from tests.support.builders.history import logged_in
from tests.support.builders.matched_records import a_customer, a_user
from tests.support.changed_ids import seed_people
from tests.support.hub import Hub
from tests.support.pages import text_of, visible_text
from tests.support.people import entries
from webhooks.models import Event

EQUAL = "/admin/webhooks/entity/equal/"
ADDRESS = "/admin/webhooks/entity/compare/"
APPS = ("webhooks", "sync")
MOVED = "moved@example.com"


def compare(client: Client, entity_id: str, **values: str) -> Any:
    return client.post(ADDRESS, {"type": "USER", "id": entity_id, **values})


def differing(hub: Hub) -> str:
    user, *_ = seed_people(hub, 2)
    hub.change_email(MOVED, user)
    return user


def test_an_entity_without_events_is_compared(hub: Hub) -> None:
    """Holds the table with masked values for support, the evidence of its time, the entries, and that nothing is sent."""
    user, support = differing(hub), logged_in("support")
    writes = len(hub.writes())
    page = visible_text(compare(support, user))
    assert "The record differs. Made equal, it will be updated." in page
    assert re.search(r"checked (now|\d+ s ago)", page)
    assert "email" in page
    assert MOVED not in page
    assert len(hub.writes()) == writes
    [begun], [ended] = entries("compare.begun"), entries("compare.ended")
    assert (begun["stream"], begun["actor"]) == (ended["stream"], ended["actor"])
    assert begun["details"]["systems"] == ["shop"]
    assert ended["details"]["calls"] == ["GET /api/users/{id} 200", "GET /api/customers/{id} 200"]
    assert user not in str([begun, ended])


def test_the_page_of_a_person_shows_both_systems(hub: Hub) -> None:
    """Holds that its button shows the result beside the history, with a reason the values, and not for everybody."""
    user, support, auditor = differing(hub), logged_in("support"), logged_in("auditor")
    address = f"/admin/webhooks/entity/?type=USER&id={user}"
    page = support.post(address)
    assert "The record differs. Made equal, it will be updated." in visible_text(page)
    assert "Events" in visible_text(page)
    assert MOVED not in text_of(page)
    assert MOVED in text_of(support.post(address, {"reveal": "1", "reason": "he called"}))
    assert [entry["details"]["reason"] for entry in entries("compare.revealed")] == ["he called"]
    assert auditor.post(address).status_code == 403
    assert len(entries("compare.begun")) == 2


def test_values_are_shown_after_a_reason(hub: Hub) -> None:
    """Holds that a reveal is recorded before it is shown, and needs the permission."""
    user, support = differing(hub), logged_in("support")
    assert MOVED not in text_of(compare(support, user, reveal="1", reason=""))
    assert not entries("compare.revealed")
    assert MOVED in text_of(compare(support, user, reveal="1", reason="he called"))
    [entry] = entries("compare.revealed")
    assert entry["details"]["reason"] == "he called"


def test_who_may_not_see_contents_sees_only_names(hub: Hub) -> None:
    """Holds that an administrator, who may compare, gets no value, masked or not, and no way to reveal it."""
    user, administrator = differing(hub), logged_in("administrator")
    page = text_of(compare(administrator, user))
    assert "Changed fields:" in page
    assert "Reveal…" not in page
    assert "<ins" not in page
    assert compare(administrator, user, reveal="1", reason="he called").status_code == 403


def test_a_record_leads_to_its_entity(hub: Hub) -> None:
    """Holds the ways from a record: its link, the external id that it bears, none, and a record that is not there."""
    user, support = differing(hub), logged_in("support")
    record = Link.objects.get(entity_id=user).record_id
    linked = text_of(compare(support, record, subject="record"))
    assert "The record differs." in linked
    Link.objects.all().delete()
    assert "The record differs." in text_of(compare(support, record, subject="record"))
    stranger = a_customer(hub, "nobody@example.com")
    assert "belongs to no entity" in text_of(compare(support, stranger, subject="record"))
    assert "The shop has no such record." in text_of(compare(support, "999999", subject="record"))


def gone(hub: Hub, user: str) -> None:
    hub.identity.directory.delete_record("users", user)


def equal(hub: Hub, user: str) -> None:
    hub.change_email(f"{user.lower()}@example.com", user)


def broken(hub: Hub, user: str) -> None:
    hub.shop.faults.add("error", status=503)


def shared(hub: Hub, user: str) -> None:
    a_customer(hub, "shared@example.com")
    Link.objects.all().delete()
    hub.shop.catalogue.delete_record("customers", str(hub.customer(user)["id"]))  # type: ignore[index]
    hub.change_email("shared@example.com", user)


def stranger(hub: Hub, user: str) -> None:
    Route.objects.update(condition="`false`")
    Link.objects.all().delete()


def leaver(on_leaving: str) -> Any:
    def leave(hub: Hub, user: str) -> None:
        Route.objects.update(condition="`false`", on_leaving=on_leaving)

    return leave


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (stranger, "Outside the scope of the route"),
        (leaver("leave"), "outside the scope of the route. In step: its record is as the route says."),
        (leaver("deactivate"), "outside the scope of the route. Made equal, the record will be deactivated."),
        (leaver("unlink"), "Its link ends, and the record is not changed."),
        (gone, "Aurora ID does not have this entity. Made equal, the record will be deactivated."),
        (equal, "In step: the record is as the mapping says."),
        (broken, "The shop is unavailable"),
        (shared, "Another record has the same value."),
    ],
)
def test_each_result_has_its_sentence(hub: Hub, change: Any, sentence: str) -> None:
    user = differing(hub)
    change(hub, user)
    assert sentence in text_of(compare(logged_in("support"), user))


def test_the_time_is_bounded(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Holds that a person never waits longer than the deadline of all pairs together."""
    user = differing(hub)
    monkeypatch.setattr("sync.comparisons.compare_now.DEADLINE_SECONDS", -1.0)
    requests = len(hub.identity.read_journal())
    assert "The systems took too long to respond" in text_of(compare(logged_in("support"), user))
    assert len(hub.identity.read_journal()) == requests
    assert attempt_preview.CALL_SECONDS < 8


def test_only_who_may_compare_can(hub: Hub) -> None:
    """Holds the permission, the token of the form, and that a route which relays is not compared."""
    user = differing(hub)
    assert compare(logged_in("auditor"), user).status_code == 403
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(logged_in("support").get("/admin/").wsgi_request.user)
    assert compare(strict, user).status_code == 403
    support = logged_in("support")
    assert support.get(f"{ADDRESS}?type=USER&id={user}").context["compare_form"].initial["id"] == user
    assert "erased" in text_of(compare(support, "~0123"))
    Route.objects.update(relays=True)
    assert not entries("compare.begun")
    assert "Select a valid choice" in text_of(compare(support, user))


def test_the_page_of_a_person_offers_it(hub: Hub) -> None:
    a_user(hub, ("new@example.com", True), user="NEW1")
    hub.post_signed({"id": "NEW1", "entityType": "USER", "eventType": "CREATE"})
    hub.wait_until_idle()
    page = "/admin/webhooks/entity/?type=USER&id="
    assert "Compare now" in text_of(logged_in("support").get(f"{page}NEW1"))
    assert "Compare now" in text_of(logged_in("support").get(f"{page}UNKNOWN"))
    assert "Compare now" not in text_of(logged_in("auditor").get(f"{page}NEW1"))
    compare(logged_in("support"), "NEW1")
    [begun] = entries("compare.begun")
    assert begun["stream"].startswith("event:")


def equal_fields(page: Any) -> dict[str, Any]:
    """Return the fields of the form that makes the only pair equal."""
    [pair] = page.context["pairs"]
    form = pair.equal_form
    return {name: form[name].value() for name in form.fields if name != "reason"}


def test_a_click_and_a_reason_make_it_equal_once(hub: Hub) -> None:
    """Holds the way from a difference to an equal record: one event without a receipt, and nothing by a second click."""
    user, support = differing(hub), logged_in("support")
    fields = equal_fields(compare(support, user))
    assert support.post(EQUAL, fields | {"reason": ""}).status_code == 302
    assert not Event.objects.exists()
    for _ in range(2):
        answer = support.post(EQUAL, fields | {"reason": "he called"})
        assert answer.url == f"/admin/webhooks/entity/?type=USER&id={user}"
    hub.wait_until_idle()
    hub.wait_until_quiet()
    event = Event.objects.get()
    assert (event.origin, event.event_type, event.state) == ("comparison", "UPDATE", "succeeded")
    assert hub.customer(user)["email"] == MOVED  # type: ignore[index]
    assert "In step: the record is as the mapping says." in text_of(compare(support, user))


def test_who_may_not_replay_gets_no_button(hub: Hub) -> None:
    """Holds the permission of making equal, on the page and at its address."""
    user = differing(hub)
    fields = equal_fields(compare(logged_in("support"), user)) | {"reason": "he called"}
    watcher, only_compares = User.objects.create_user("watcher", is_staff=True), Client()
    watcher.user_permissions.set(
        Permission.objects.filter(
            codename__in=["view_event", "run_comparison"], content_type__app_label__in=APPS
        )
    )
    only_compares.force_login(watcher)
    page = compare(only_compares, user)
    assert "The record differs." in text_of(page)
    assert "Make equal" not in text_of(page)
    assert only_compares.post(EQUAL, fields).status_code == 403
    assert not Event.objects.exists()


def test_a_deletion_is_made_equal_as_one(hub: Hub) -> None:
    user, support = differing(hub), logged_in("support")
    gone(hub, user)
    assert equal_fields(compare(support, user))["event_type"] == "DELETE"
