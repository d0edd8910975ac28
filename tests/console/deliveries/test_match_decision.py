"""The page on which a person chooses the record of a held entity."""

import re
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client

from sync.models import Delivery, Link, PersonRequest
from tests.support.builders.history import logged_in
from tests.support.builders.matched_records import HELD_USER, STRANGER_EMAIL, hold_match, stranger_record
from tests.support.hub import Hub
from tests.support.pages import text_of, visible_text
from tests.support.people import reveal
from webhooks.models import State

WHY = "she called and named her order"


def page_of(delivery: Delivery) -> str:
    return f"/admin/sync/delivery/{delivery.pk}/record/"


def decide(client: Client, delivery: Delivery, choice: str, /, **values: Any) -> Any:
    """Choose and send the form with the key of the page."""
    key = re.search(r'name="key" value="([^"]+)"', client.get(page_of(delivery)).content.decode())
    assert key is not None
    form = {"choice": choice, "reason": WHY, "key": key[1], **values}
    return client.post(page_of(delivery), form, follow=True)


def test_entity_and_record_are_shown_side_by_side_and_one_is_linked(hub: Hub) -> None:
    delivery, record, staff = hold_match(hub), stranger_record(hub), logged_in("support")
    route_page = text_of(staff.get(f"/admin/sync/delivery/route/{delivery.route_id}/"))
    assert f'href="{page_of(delivery)}"' in route_page
    assert f'value="{delivery.pk}"' not in route_page, "it cannot be approved like a mass change"
    masked = visible_text(staff.get(page_of(delivery)))
    assert "email ••• •••" in masked
    assert "(same)" not in masked
    page = visible_text(reveal(staff, delivery.event_id, page_of(delivery)))
    assert f"Field Entity Record {record}" in page
    assert f"email {STRANGER_EMAIL} {STRANGER_EMAIL} (same)" in page
    assert f"external_id {HELD_USER} –" in page
    answer = decide(staff, delivery, f"bind:{record}")
    assert answer.status_code == 200
    hub.wait_until_idle()
    assert str(hub.customer(HELD_USER)["id"]) == record  # type: ignore[index]
    assert PersonRequest.objects.get().reason == WHY


@pytest.mark.submission
def test_a_record_that_was_linked_meanwhile_is_marked_and_refused(hub: Hub) -> None:
    delivery, record, staff = hold_match(hub), stranger_record(hub), logged_in("support")
    key = re.search(r'name="key" value="([^"]+)"', staff.get(page_of(delivery)).content.decode())
    subject = {"identity": delivery.identity, "target": delivery.target, "entity_type": "USER"}
    Link.objects.create(
        entity_id="OWNER1", record_id=record, applied_at=delivery.event.received_at, **subject
    )
    form = {"choice": f"bind:{record}", "reason": WHY, "key": key[1]}  # type: ignore[index]
    answer = staff.post(page_of(delivery), form)
    assert "Select a valid choice" in text_of(answer)
    assert "linked to another entity" in text_of(answer)
    assert f"bind:{record}" not in re.findall(r'name="choice" value="([^"]+)"', text_of(answer))
    assert hub.writes() == []


@pytest.mark.submission
def test_an_incomplete_decision_is_refused(hub: Hub) -> None:
    delivery, staff = hold_match(hub), logged_in("support")
    long = "x" * 501
    for values in (
        {"reason": " "},
        {"reason": long},
        {"choice": "bind:1"},
        {"choice": ""},
        {"key": "no key"},
    ):
        assert decide(staff, delivery, "refuse", **values).status_code == 200, values
    assert not PersonRequest.objects.exists()
    assert Delivery.objects.get(pk=delivery.pk).state == State.HELD


@pytest.mark.promise("T24")
def test_readers_see_the_page_and_may_not_decide(hub: Hub) -> None:
    delivery, auditor = hold_match(hub), logged_in("auditor")
    page = text_of(auditor.get(page_of(delivery)))
    assert stranger_record(hub) in page
    assert STRANGER_EMAIL not in page, "values need the permission to see contents"
    assert "Save decision" not in page
    form = {"choice": "refuse", "reason": WHY, "key": str(uuid4())}
    assert auditor.post(page_of(delivery), form).status_code == 403
    assert logged_in().get(page_of(delivery)).status_code == 403
    foreign = Client(enforce_csrf_checks=True)
    foreign.force_login(User.objects.create_superuser("root"))
    assert foreign.post(page_of(delivery), form).status_code == 403
    assert not PersonRequest.objects.exists()
