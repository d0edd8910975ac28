"""A link is a cache, and the external id that the hub wrote is the proof: a target whose ids change sends no event to the
record of another person, and reports nothing as done that was not.
"""

from typing import Any

import pytest

from audit.models import Entry
from config_schema.codes.reference import new_uuid
from sync.execution.executor import run_due_deliveries
from sync.models import Connection, Delivery, Link, MappingVersion, Route
from sync.operations.held_deliveries import HeldDecision, decide_held
from sync.operations.match_decisions import MatchDecision, decide_match
from tests.support.builders.bulk_replays import staff_user
from tests.support.changed_ids import FIELD, change_ids, exchange_links, post_event, records_of
from tests.support.connections import copy_connection
from tests.support.hub import Hub

PEOPLE = ("PERSON1", "PERSON2", "PERSON3")


def create_people(hub: Hub, when_deleted: str = Route.DeletionPolicy.DEACTIVATE) -> None:
    Route.objects.update(when_deleted=when_deleted)
    for user in PEOPLE:
        emails = [{"address": f"{user.lower()}@example.com", "verified": True}]
        hub.identity.directory.create_record("users", {"id": user, "username": user, "emails": emails})
        assert post_event(hub, user, "CREATE")[0] == 200


def records(hub: Hub) -> dict[str, dict[str, Any]]:
    return records_of(hub, PEOPLE)


@pytest.mark.submission_rows(2)
@pytest.mark.promise("I26")
@pytest.mark.parametrize("kind", ["shift", "import", "links"])
def test_every_change_reaches_the_record_that_bears_the_persons_id(hub: Hub, kind: str) -> None:
    create_people(hub)
    if kind == "links":
        exchange_links(PEOPLE)
    else:
        change_ids(hub, kind)
    for user in PEOPLE[:2]:
        hub.change_email(f"new.{user.lower()}@example.com", user)
        status, result = post_event(hub, user)
        assert (status, result["action"]) == (200, "updated"), result
    hub.identity.directory.delete_record("users", PEOPLE[2])
    assert post_event(hub, PEOPLE[2], "DELETE")[0] == 200
    shown = {user: (record["email"], record["active"]) for user, record in records(hub).items()}
    assert shown == {
        PEOPLE[0]: ("new.person1@example.com", True),
        PEOPLE[1]: ("new.person2@example.com", True),
        PEOPLE[2]: ("person3@example.com", False),
    }
    links = Link.objects.filter(entity_id__in=PEOPLE)
    assert {link.entity_id: link.record_id for link in links} == {
        user: str(record["id"]) for user, record in records(hub).items()
    }
    assert {link.external_id_field for link in links} == {FIELD}


def test_the_link_of_another_person_is_unproven_once_its_record_is_taken_over(hub: Hub) -> None:
    create_people(hub)
    exchange_links(PEOPLE)
    assert post_event(hub, PEOPLE[0])[0] == 200
    assert Link.objects.get(entity_id=PEOPLE[1]).external_id_field == ""
    [entry] = Entry.objects.filter(action="link.unproven")
    assert str(Delivery.objects.filter(entity_id=PEOPLE[1]).get().event.stream) == entry.stream


@pytest.mark.submission_rows(2)
@pytest.mark.promise("I24", "I26")
@pytest.mark.parametrize("event_type", ["UPDATE", "DELETE"])
@pytest.mark.parametrize("when_deleted", [Route.DeletionPolicy.DELETE, Route.DeletionPolicy.DEACTIVATE])
def test_a_record_that_has_lost_its_external_id_is_held(hub: Hub, event_type: str, when_deleted: str) -> None:
    create_people(hub, when_deleted)
    change_ids(hub, "clear")
    before = hub.shop.list_records("customers")
    if event_type == "DELETE":
        hub.identity.directory.delete_record("users", PEOPLE[0])
    status, result = post_event(hub, PEOPLE[0], event_type)
    assert (status, result["status"], result["code"]) == (202, "held", "held-external-id")
    assert hub.shop.list_records("customers") == before
    delivery = Delivery.objects.get(state="held")
    decide_held([delivery.pk], HeldDecision.APPROVE, by=staff_user(), reason="It is hers.", key=new_uuid())
    run_due_deliveries()
    hub.wait_until_quiet()
    delivery.refresh_from_db()
    assert delivery.state == "succeeded"
    link = Link.objects.get(entity_id=PEOPLE[0])
    found = [record for record in hub.shop.list_records("customers") if str(record["id"]) == link.record_id]
    if event_type == "UPDATE":
        assert (found[0][FIELD], link.external_id_field) == (PEOPLE[0], FIELD)
    else:
        assert not any(record["active"] for record in found)


@pytest.mark.submission_rows(2)
@pytest.mark.promise("I24", "I26")
@pytest.mark.parametrize("event_type", ["UPDATE", "DELETE"])
@pytest.mark.parametrize("later_id", [None, "UNKNOWN"])
def test_a_link_whose_record_was_taken_over_is_not_followed_later(
    hub: Hub, event_type: str, later_id: str | None
) -> None:
    """Nothing proves that link any more, and another person's leads to the same record."""
    create_people(hub)
    exchange_links(PEOPLE)
    assert post_event(hub, PEOPLE[0])[0] == 200
    assert Link.objects.get(entity_id=PEOPLE[1]).external_id_field == ""
    for user, record in records(hub).items():
        values = {FIELD: later_id and f"{later_id}-{user}"}
        hub.shop.catalogue.update_record("customers", str(record["id"]), values, replaces=False)
    before = hub.shop.list_records("customers")
    if event_type == "DELETE":
        hub.identity.directory.delete_record("users", PEOPLE[1])
    else:
        hub.change_email("new@example.com", PEOPLE[1])
    status, result = post_event(hub, PEOPLE[1], event_type)
    assert (status, result["status"]) == (202, "held")
    assert hub.shop.list_records("customers") == before


@pytest.mark.submission
def test_two_records_with_the_persons_id_are_held_for_a_decision(hub: Hub) -> None:
    create_people(hub)
    linked = records(hub)[PEOPLE[0]]
    hub.shop.catalogue.update_record("customers", str(linked["id"]), {FIELD: "other"}, replaces=False)
    values = [{FIELD: PEOPLE[0], "email": f"twin{number}@example.com"} for number in range(2)]
    twins = [str(hub.shop.catalogue.create_record("customers", one)["id"]) for one in values]
    assert post_event(hub, PEOPLE[0])[1]["code"] == "held-match"
    delivery = Delivery.objects.get(state="held")
    decide_match(
        delivery, MatchDecision.BIND, by=staff_user(), reason="Hers.", key=new_uuid(), record_id=twins[1]
    )
    run_due_deliveries()
    hub.wait_until_quiet()
    assert Link.objects.get(entity_id=PEOPLE[0]).record_id == twins[1]


def test_a_record_that_never_showed_the_id_keeps_its_link(hub: Hub) -> None:
    """A target may drop the field, and a mapping may write something else there."""
    version = MappingVersion.objects.filter(declaration__fields__has_key="email").latest("pk")
    fields = {**version.declaration["fields"], FIELD: {"path": "join('-', ['x', entity.username])"}}
    create_people(hub)
    MappingVersion.objects.filter(pk=version.pk).update(declaration={**version.declaration, "fields": fields})
    for email in ("one@example.com", "two@example.com"):
        hub.change_email(email, PEOPLE[0])
        status, result = post_event(hub, PEOPLE[0])
        assert (status, result["action"]) == (200, "updated"), result
        assert Link.objects.get(entity_id=PEOPLE[0]).external_id_field == ""


def give_to_namesake(link: Link, record_id: str) -> None:
    """Link a record to the same id at another identity service, which may be another person's."""
    service = Connection.objects.get(pk=link.identity_id)
    copy_connection(service, "second-identity", name="Second identity service")
    link.pk, link.identity, link.record_id = None, service, record_id
    link.save(force_insert=True)


@pytest.mark.promise("I26")
def test_the_record_of_a_namesake_is_not_taken_over(hub: Hub) -> None:
    create_people(hub)
    own = records(hub)[PEOPLE[0]]
    link = Link.objects.get(entity_id=PEOPLE[0])
    Link.objects.filter(pk=link.pk).delete()
    give_to_namesake(link, str(own["id"]))
    # Without a link of its own, the person gets a record of its own; the shop says that the address is taken.
    assert post_event(hub, PEOPLE[0])[0] == 422
    hub.change_email("mine@example.com", PEOPLE[0])
    assert post_event(hub, PEOPLE[0])[1]["action"] == "created"
    mine = Link.objects.exclude(record_id=str(own["id"])).get(entity_id=PEOPLE[0]).record_id
    assert hub.shop.catalogue.get_record("customers", str(own["id"]))["email"] == own["email"]
    # With one, whose record has lost the id, either record may be meant: a person decides.
    hub.shop.catalogue.update_record("customers", mine, {FIELD: None}, replaces=False)
    status, result = post_event(hub, PEOPLE[0])
    assert (status, result["code"]) == (202, "held-match")
