"""The record of a person: by link, external id, previous value; by the new value only before a creation."""

from typing import Any

import pytest

from sync.models import Connection, Link, MappingVersion, Route
from tests.support.hub import ANNA, Hub

GRACE = "GRACE1"
OLD, NEW = (
    "grace.holloway@example.com",
    "grace.new@example.com",
)  # the shop knows the old one, and no external id


def webhook(user: str, event_type: str = "UPDATE", **members: Any) -> dict[str, Any]:
    return {"id": user, "entityType": "USER", "eventType": event_type} | members


def a_user(hub: Hub, user: str = GRACE, email: str = NEW) -> None:
    """Return a person that the hub does not know."""
    emails = [{"address": email, "verified": True}]
    hub.identity.directory.create_record("users", {"id": user, "username": user.lower(), "emails": emails})


def a_customer(hub: Hub, email: str, external_id: str | None = None) -> str:
    """Another record of the shop; its id."""
    record = hub.shop.catalogue.create_record("customers", {"email": email, "external_id": external_id})
    return str(record["id"])


def with_email(hub: Hub, email: str) -> list[dict[str, Any]]:
    return [customer for customer in hub.shop.list_records("customers") if customer["email"] == email]


def lookups(hub: Hub) -> list[tuple[str, dict[str, str]]]:
    """Return the searches in the shop, in order."""
    return [
        (request["path"], request["query"])
        for request in hub.shop.read_journal()
        if request["method"] == "GET"
    ]


def outcome(answer: Any) -> tuple[int, str]:
    """Return the HTTP status, and the action or the code of the failure."""
    document = answer.json()
    return answer.status_code, document.get("code") or document["results"][0]["action"]


def test_an_unproven_link_finds_its_record_though_the_shop_changed_every_key(hub: Hub) -> None:
    assert outcome(hub.post(webhook(ANNA))) == (200, "none")
    Link.objects.update(external_id_field="")
    linked = Link.objects.get().record_id
    hub.shop.catalogue.update_record(
        "customers", linked, {"external_id": "X", "email": "x@example.com"}, replaces=False
    )
    request_count = len(lookups(hub))
    assert outcome(hub.post(webhook(ANNA))) == (200, "updated")
    # Another record that has the entity's own external id would come first.
    searched = ("/api/customers", {"external_id": ANNA})
    assert lookups(hub)[request_count:] == [(f"/api/customers/{linked}", {}), searched]
    assert str(hub.customer()["id"]) == linked


@pytest.mark.submission
def test_a_link_to_a_deleted_record_is_replaced_by_the_external_id(hub: Hub) -> None:
    hub.post(webhook(ANNA))
    hub.shop.catalogue.delete_record("customers", Link.objects.get().record_id)
    moved = a_customer(hub, "moved@example.com", ANNA)
    assert outcome(hub.post(webhook(ANNA))) == (200, "updated")
    assert Link.objects.get().record_id == moved
    assert hub.customer()["email"] == "anna.aalto@example.com"


def test_the_external_id_has_priority_over_addresses(hub: Hub) -> None:
    a_user(hub)
    own = a_customer(hub, "other@example.com", GRACE)
    assert outcome(hub.post_signed(webhook(GRACE, previous={"email": OLD}))) == (200, "updated")
    assert Link.objects.get().record_id == own
    assert [customer["external_id"] for customer in with_email(hub, OLD)] == [None]


def test_the_previous_address_of_an_unsigned_webhook_is_not_used(hub: Hub) -> None:
    a_user(hub)
    before = with_email(hub, OLD)
    assert outcome(hub.post(webhook(GRACE, previous={"email": OLD}))) == (200, "created")
    assert with_email(hub, OLD) == before
    assert {"email": OLD} not in [query for _, query in lookups(hub)]


def test_the_new_address_is_searched_last_and_only_before_a_creation(hub: Hub) -> None:
    a_user(hub, email=OLD)
    [before] = with_email(hub, OLD)
    assert outcome(hub.post(webhook(GRACE, "CREATE"))) == (200, "updated")
    assert hub.customer(GRACE)["id"] == before["id"]
    assert lookups(hub) == [
        ("/api/customers", {"external_id": GRACE}),
        ("/api/customers", {"email": OLD}),
        (f"/api/customers/{before['id']}", {}),
    ], "the record found by a value is read by its id"


def test_a_person_with_a_record_never_takes_over_another_with_the_new_address(hub: Hub) -> None:
    hub.change_email("taken@example.com")
    owner = with_email(hub, "taken@example.com")
    assert outcome(hub.post(webhook(ANNA))) == (422, "target-rejected")
    # The second search is for whoever holds the address, after the refusal.
    assert [query for _, query in lookups(hub)] == [{"external_id": ANNA}, {"email": "taken@example.com"}]
    assert with_email(hub, "taken@example.com") == owner


SHARED = "info@firma.example"


@pytest.mark.promise("I26")
@pytest.mark.parametrize(
    ("sent", "policy", "expected"),
    [
        (webhook(GRACE, "CREATE"), Route.NoMatchPolicy.CREATE, (422, "target-rejected")),
        (webhook(GRACE, previous={"email": SHARED}), Route.NoMatchPolicy.REFUSE, (422, "no-match")),
    ],
    ids=["created", "only-updated"],
)
def test_a_record_with_the_external_id_of_another_person_is_not_taken_over(
    hub: Hub, sent: dict[str, Any], policy: str, expected: tuple[int, str]
) -> None:
    """Two people may share an address; the shop itself reports that it is taken."""
    Route.objects.update(without_match=policy)
    hub.change_email(SHARED)
    assert outcome(hub.post(webhook(ANNA))) == (200, "updated")
    hers = hub.customer()
    a_user(hub, email=SHARED)
    assert outcome(hub.post_signed(sent)) == expected
    assert hub.customer() == hers
    assert [link.entity_id for link in Link.objects.exclude(record_id="")] == [ANNA]


def test_a_deleted_entity_deletes_no_record_of_another(hub: Hub) -> None:
    Route.objects.update(when_deleted=Route.DeletionPolicy.DELETE)
    other = a_customer(hub, SHARED, "SOMEBODY")
    deletion = webhook(GRACE, "DELETE", previous={"email": SHARED})
    assert outcome(hub.post_signed(deletion)) == (200, "none")
    assert other in [str(customer["id"]) for customer in hub.shop.list_records("customers")]


def test_two_matching_records_are_a_failure_for_a_person_to_resolve(hub: Hub) -> None:
    a_user(hub)
    for number in range(2):
        a_customer(hub, f"twin.{number}@example.com", GRACE)
    answer = hub.post(webhook(GRACE))
    assert outcome(answer) == (409, "ambiguous-match")
    assert answer.json()["retrying"] is False
    assert hub.writes() == []
    assert not Link.objects.exists()


def test_a_shop_that_ignores_the_filter_does_not_lead_to_the_wrong_person(hub: Hub) -> None:
    a_user(hub, "fi", "nobody@example.com")
    before = hub.shop.list_records("customers")
    shop = Connection.objects.get(slug="shop")
    shop.settings["entities"]["USER"]["operations"]["search"] |= {
        "query": {"language": "{value}"}  # whatever the field is
    }
    shop.save()
    assert outcome(hub.post(webhook("fi"))) == (200, "created")
    assert lookups(hub)[0] == ("/api/customers", {"language": "fi"})
    assert sum(customer["language"] == "fi" for customer in before) > 1
    assert hub.shop.list_records("customers")[: len(before)] == before


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(
    ("event_type", "policy", "expected"),
    [
        ("UPDATE", Route.NoMatchPolicy.REFUSE, (422, "no-match")),
        ("UPDATE", Route.NoMatchPolicy.CREATE, (200, "created")),
        ("CREATE", Route.NoMatchPolicy.REFUSE, (200, "created")),
    ],
)
def test_an_update_without_a_match_follows_the_policy_of_its_route(
    hub: Hub, event_type: str, policy: str, expected: tuple[int, str]
) -> None:
    Route.objects.update(without_match=policy)
    a_user(hub)
    assert outcome(hub.post(webhook(GRACE, event_type))) == expected
    assert (hub.customer(GRACE) is not None) == (expected[0] == 200)


def map_external_id(rule: Any) -> None:
    """Give the mapping of users another rule for the external id; None removes it."""
    version = MappingVersion.objects.filter(declaration__fields__has_key="email").latest("pk")
    fields = {name: value for name, value in version.declaration["fields"].items() if name != "external_id"}
    declaration = {**version.declaration, "fields": fields | ({"external_id": rule} if rule else {})}
    MappingVersion.objects.filter(pk=version.pk).update(declaration=declaration)


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(
    "rule",
    [{"path": "entity.uuid", "when_absent": "keep"}, {"path": "entity.emails[0].address"}, {"constant": ""}],
)
def test_no_record_is_created_that_a_search_for_its_external_id_would_not_find(
    hub: Hub, rule: dict[str, Any]
) -> None:
    a_user(hub)
    map_external_id(rule)
    answer = hub.post_signed(webhook(GRACE, "CREATE"))
    assert outcome(answer) == (422, "unmappable")
    assert [error["field"] for error in answer.json()["errors"]] == ["external_id"]
    assert hub.writes() == []


@pytest.mark.submission
def test_a_linked_record_may_have_another_external_id_and_not_lose_it(hub: Hub) -> None:
    a_user(hub)
    assert outcome(hub.post(webhook(GRACE, "CREATE"))) == (200, "created")
    map_external_id({"path": "entity.uuid"})
    writes = len(hub.writes())
    assert outcome(hub.post(webhook(GRACE))) == (422, "unmappable")
    assert len(hub.writes()) == writes
    map_external_id({"path": "entity.emails[0].address"})
    assert outcome(hub.post(webhook(GRACE))) == (200, "updated")


def test_an_external_id_that_the_mapping_leaves_to_the_target_is_not_required(hub: Hub) -> None:
    a_user(hub)
    map_external_id(None)
    assert outcome(hub.post(webhook(GRACE, "CREATE"))) == (200, "created")
