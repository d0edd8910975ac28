"""A link never leads to the record of another entity: after a target has used an id again, or merged two records."""

from typing import Any

import pytest

from sync.models import Link, Route
from tests.support.hub import Hub

FIRST, SECOND = "PERSON1", "PERSON2"
EVENT_TYPES = ("UPDATE", "DELETE")


def address_of(user: str) -> str:
    return f"{user.lower()}@example.com"


def post_event(hub: Hub, user: str, event_type: str = "CREATE") -> dict[str, Any]:
    answer = hub.post_signed({"id": user, "entityType": "USER", "eventType": event_type})
    assert answer.status_code in (200, 202), answer.json()
    return dict(answer.json())


def create_person(hub: Hub, user: str) -> str:
    """Create a person in both systems. Returns the id of the record."""
    emails = [{"address": address_of(user), "verified": True}]
    hub.identity.directory.create_record("users", {"id": user, "username": user.lower(), "emails": emails})
    return str(post_event(hub, user)["results"][0]["id"])


def report(hub: Hub, user: str, event_type: str) -> dict[str, Any]:
    """Change or delete a person in the identity service, and report it. Returns the answer."""
    if event_type == "DELETE":
        hub.identity.directory.delete_record("users", user)
    else:
        hub.change_email(f"new.{address_of(user)}", user)
    return post_event(hub, user, event_type)


def use_id_again(hub: Hub) -> str:
    """Let the shop give the second person's record the id of the first person's, which it has deleted."""
    record_id = create_person(hub, FIRST)
    hub.shop.catalogue.delete_record("customers", record_id)
    hub.shop.store.put_record("counters", "customers", {"next": int(record_id)})
    assert create_person(hub, SECOND) == record_id
    return record_id


def merge_into_record_of_first(hub: Hub) -> str:
    """Let somebody merge the second person's record into the first one's. Returns the id of the one that is left."""
    left, merged = create_person(hub, FIRST), create_person(hub, SECOND)
    hub.shop.catalogue.delete_record("customers", merged)
    values = {"external_id": SECOND, "email": address_of(SECOND)}
    hub.shop.catalogue.update_record("customers", left, values, replaces=False)
    return left


def read_record(hub: Hub, record_id: str) -> tuple[Any, ...]:
    record = hub.shop.catalogue.get_record("customers", record_id)
    return record["external_id"], record["email"], record["active"]


@pytest.mark.submission_rows(2)
@pytest.mark.promise("I26")
@pytest.mark.parametrize(
    ("make_record_of_second", "event_type", "when_deleted"),
    [
        (use_id_again, "UPDATE", Route.DeletionPolicy.DEACTIVATE),
        (use_id_again, "DELETE", Route.DeletionPolicy.DELETE),
        (merge_into_record_of_first, "UPDATE", Route.DeletionPolicy.DEACTIVATE),
        (merge_into_record_of_first, "DELETE", Route.DeletionPolicy.DEACTIVATE),
    ],
)
def test_an_event_of_one_person_never_changes_the_record_of_another(
    hub: Hub, make_record_of_second: Any, event_type: str, when_deleted: str
) -> None:
    Route.objects.update(when_deleted=when_deleted)
    record_id = make_record_of_second(hub)
    is_merged = make_record_of_second is merge_into_record_of_first
    # The merged record may have been the first person's too: a person decides.
    answer = report(hub, FIRST, event_type)
    assert (answer["results"][0]["status"] == "held") == is_merged
    assert read_record(hub, record_id) == (SECOND, address_of(SECOND), True)
    own = hub.customer(FIRST)
    assert (own is None) == (event_type == "DELETE" or is_merged)
    report(hub, SECOND, "UPDATE")
    assert read_record(hub, record_id) == (SECOND, f"new.{address_of(SECOND)}", True)
    assert Link.objects.get(record_id=record_id, external_id_field="external_id").entity_id == SECOND


def test_an_external_id_that_no_entity_has_is_corrected_where_nothing_was_proven(hub: Hub) -> None:
    record_id = create_person(hub, FIRST)
    Link.objects.update(external_id_field="")
    hub.shop.catalogue.update_record("customers", record_id, {"external_id": "typed"}, replaces=False)
    report(hub, FIRST, "UPDATE")
    assert read_record(hub, record_id) == (FIRST, f"new.{address_of(FIRST)}", True)


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_an_unproven_link_is_not_followed_to_the_record_of_another_known_entity(
    hub: Hub, event_type: str
) -> None:
    """Neither a second record nor a deletion that is said to be done: the record may be that of both."""
    record_id = merge_into_record_of_first(hub)
    Link.objects.update(external_id_field="")
    [result] = report(hub, FIRST, event_type)["results"]
    assert (result["status"], result["code"]) == ("held", "held-external-id")
    assert read_record(hub, record_id) == (SECOND, address_of(SECOND), True)
    assert hub.customer(FIRST) is None


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize("is_proven", [True, False])
@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_a_record_with_the_entitys_external_id_wins_over_a_link_to_another_person(
    hub: Hub, event_type: str, is_proven: bool
) -> None:
    """As if the base URL led to another system, where the id belongs to a person whom the hub does not know."""
    strangers = create_person(hub, FIRST)
    if not is_proven:
        Link.objects.update(external_id_field=None)
    values = {"external_id": "stranger", "email": "stranger@example.com"}
    hub.shop.catalogue.update_record("customers", strangers, values, replaces=False)
    own = hub.shop.catalogue.create_record("customers", {"external_id": FIRST, "email": address_of(FIRST)})
    report(hub, FIRST, event_type)
    assert read_record(hub, strangers) == ("stranger", "stranger@example.com", True)
    is_active = event_type == "UPDATE"
    changed = f"new.{address_of(FIRST)}" if is_active else address_of(FIRST)
    assert read_record(hub, str(own["id"])) == (FIRST, changed, is_active)
    assert linked_entities(strangers) == []


def linked_entities(record_id: str) -> list[str]:
    return list(Link.objects.filter(record_id=record_id).order_by("pk").values_list("entity_id", flat=True))


def test_the_link_to_a_record_that_a_deletion_does_not_find_is_marked_as_deleted(hub: Hub) -> None:
    record_id = create_person(hub, FIRST)
    hub.shop.catalogue.delete_record("customers", record_id)
    assert report(hub, FIRST, "DELETE")["status"] == "unchanged"
    assert Link.objects.get(entity_id=FIRST).record_id == ""
