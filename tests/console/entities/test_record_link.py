"""A person links a record to an entity, or unlinks it: with a reason, on the audit log, never over another link."""

from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import User
from django.test import Client

from sync.models import Connection, Delivery, Link
from sync.operations.manual_links import LinkRefused, LinkRequest, link_record, unlink_record
from tests.support.builders.history import logged_in
from tests.support.builders.matched_records import HELD_USER, STRANGER_EMAIL, hold_match, stranger_record
from tests.support.hub import ANNA, Hub
from tests.support.pages import text_of
from tests.support.people import entries

WHY = "he called and named his order"


def subject(entity_id: str = HELD_USER, entity_type: str = "USER") -> dict[str, str]:
    """Return the parameters of the page of an entity's record in the shop."""
    keys = {connection.slug: str(connection.pk) for connection in Connection.objects.all()}
    return {
        "type": entity_type,
        "id": entity_id,
        "identity": keys["aurora"],
        "target": keys["shop"],
    }


def page_of(**values: str) -> str:
    return f"/admin/webhooks/entity/link/?{urlencode(subject() | values)}"


def record_of(entity_id: str = HELD_USER) -> str | None:
    return Link.objects.filter(entity_id=entity_id).values_list("record_id", flat=True).first()


def ask(reason: str = WHY) -> LinkRequest:
    of = subject()
    connections = Connection.objects.in_bulk([int(of["identity"]), int(of["target"])])
    user, _ = User.objects.get_or_create(username="boss")
    both = (connections[int(of["identity"])], connections[int(of["target"])])
    return LinkRequest(*both, "USER", HELD_USER, by=user, reason=reason)


def test_a_record_is_linked_then_updated_and_unlinked(hub: Hub) -> None:
    delivery, record, staff = hold_match(hub), stranger_record(hub), logged_in("support")
    answer = staff.post(page_of(), {"record_id": record, "reason": WHY}, follow=True)
    assert "Unlink…" in text_of(answer)
    (entry,) = entries("link.created")
    assert entry["stream"] == delivery.event.stream
    assert (entry["details"]["connection"], entry["details"]["reason"]) == ("shop", WHY)
    assert record not in str(entry["details"])
    assert hub.post_signed({"id": HELD_USER, "entityType": "USER", "eventType": "UPDATE"}).status_code == 200
    assert str(hub.customer(HELD_USER)["id"]) == record  # type: ignore[index]
    staff.post(page_of(), {"record_id": record, "reason": WHY, "unlink": "1"}, follow=True)
    assert (record_of(), len(entries("link.removed"))) == ("", 1)
    again = staff.post(page_of(), {"record_id": record, "reason": WHY, "unlink": "1"}, follow=True)
    assert "The link was changed in the meantime." in text_of(again)


@pytest.mark.submission
def test_a_record_of_another_subject_is_refused(hub: Hub) -> None:
    hub.post_signed({"id": ANNA, "entityType": "USER", "eventType": "UPDATE"})
    hold_match(hub)
    hers, staff = str(record_of(ANNA)), logged_in("support")
    answer = staff.post(page_of(), {"record_id": hers, "reason": WHY}, follow=True)
    assert f"Record {hers} is linked to another entity." in text_of(answer)
    assert (record_of(), record_of(ANNA)) == (None, hers)
    assert not entries("link.created")


@pytest.mark.submission
def test_a_link_changes_only_with_a_reason_and_while_nothing_runs(hub: Hub) -> None:
    delivery, record = hold_match(hub), stranger_record(hub)
    for request, record_id, refusal in (
        (ask(" "), record, "Enter a reason"),
        (ask(), "../4711", "not a valid record id"),
        (ask(), "", "not a valid record id"),
    ):
        with pytest.raises(LinkRefused, match=refusal):
            link_record(request, record_id)
    link_record(ask(), record)
    with pytest.raises(LinkRefused, match="already has a record"):
        link_record(ask(), record)
    with pytest.raises(LinkRefused, match="changed in the meantime"):
        unlink_record(ask(), "4711")
    Delivery.objects.filter(pk=delivery.pk).update(
        state="running", token=delivery.event.uuid, lease_until=delivery.event.received_at
    )
    with pytest.raises(LinkRefused, match="is running"):
        unlink_record(ask(), record)
    Delivery.objects.filter(pk=delivery.pk).update(state="closed", token=None, lease_until=None)
    assert record_of() == record


def test_an_id_with_slashes_is_linked_where_the_settings_allow_it(hub: Hub) -> None:
    hold_match(hub)
    wide = "gid://shop/Customer/7"
    with pytest.raises(LinkRefused, match="not a valid record id"):
        link_record(ask(), wide)
    shop = Connection.objects.get(slug="shop")
    Connection.objects.filter(pk=shop.pk).update(settings={**shop.settings, "id_characters": "/"})
    link_record(ask(), wide)
    assert record_of() == wide


@pytest.mark.one_database
def test_the_page_needs_the_permission_and_a_route(hub: Hub) -> None:
    hold_match(hub)
    staff, form = logged_in("support"), {"record_id": "4711", "reason": WHY}
    for values in ({"target": "0"}, {"identity": "x"}, {"id": ""}, {"id": "a\x00"}, {"type": "THING"}):
        assert staff.get(page_of(**values)).status_code == 404, values
    assert logged_in("auditor").post(page_of(), form).status_code == 403
    page = text_of(logged_in("auditor").get(f"/admin/webhooks/entity/?type=USER&id={HELD_USER}"))
    assert "Link a record…" not in page
    foreign = Client(enforce_csrf_checks=True)
    foreign.force_login(User.objects.create_superuser("root"))
    assert foreign.post(page_of(), form).status_code == 403
    assert staff.post(page_of(), {"record_id": "4711", "reason": " "}).status_code == 200
    assert record_of() is None
    assert STRANGER_EMAIL not in text_of(staff.get(page_of()))
