"""A route has the names that source, identity connection and target have for one kind of entity."""

from typing import Any

from django.utils import timezone

from sync.deliveries import record_links
from sync.deliveries.routes import resolved_routes
from sync.models import Call, Connection, Delivery, Link, Route
from tests.support.connections import copy_connection
from tests.support.hub import ANNA, Hub
from webhooks.models import Source

BERT = "BERT0001"
Subject = tuple[str, str, str]


def rename(connection: Connection, slug: str, **names: str) -> Connection:
    """Store a copy of a connection whose entity types have other names, and no others."""
    entities = connection.settings["entities"]
    renamed = {**connection.settings, "entities": {new: entities[old] for old, new in names.items()}}
    return copy_connection(connection, slug, name=slug, settings=renamed)


def second_source(*, target_type: str = "") -> Route:
    """Route PERSON events of another source, with an identity connection of its own, to the shop's records of users."""
    route = Route.objects.get(source__slug="aurora", entity_type="USER")
    source = Source.objects.get(slug="aurora-unsigned")
    Route.objects.filter(source=source).delete()
    route.pk, route.slug, route.source, route.entity_type = None, "", source, "PERSON"
    route.identity = rename(Connection.objects.get(slug="aurora"), "hr", USER="HUMAN")
    route.identity_entity, route.target_entity = "HUMAN", target_type
    route.save(force_insert=True)
    return route


def post(hub: Hub, user: str = ANNA, *, entity_type: str = "USER") -> tuple[int, dict[str, Any]]:
    document = {"id": user, "entityType": entity_type, "eventType": "UPDATE"}
    answer = hub.post_signed(document) if entity_type == "USER" else hub.post(document)
    return answer.status_code, answer.json()


def links() -> dict[Subject, str]:
    return {
        (link.identity.slug, link.entity_type, link.entity_id): link.record_id
        for link in Link.objects.select_related("identity")
    }


def a_person(hub: Hub, user: str, email: str) -> None:
    emails = [{"address": email, "verified": True}]
    hub.identity.directory.create_record("users", {"id": user, "username": user.lower(), "emails": emails})


def test_each_connection_is_asked_by_its_own_name(hub: Hub) -> None:
    shop = rename(Connection.objects.get(slug="shop"), "shop-2", USER="CUSTOMER")
    aurora = rename(Connection.objects.get(slug="aurora"), "aurora-2", USER="HUMAN")
    Route.objects.filter(source__slug="aurora", entity_type="USER").update(
        identity=aurora, target=shop, identity_entity="HUMAN", target_entity="CUSTOMER"
    )
    hub.change_email("anna.new@example.com")
    status, document = post(hub)
    assert (status, document["status"]) == (200, "succeeded")
    assert (hub.customer() or {})["email"] == "anna.new@example.com"
    assert list(links()) == [("aurora-2", "USER", ANNA)], "the subject keeps the type of its event"
    assert set(Delivery.objects.values_list("entity_type", flat=True)) == {"USER"}
    assert Call.objects.filter(purpose="fetch").exists()
    # A deletion is proved and sent by the same names.
    hub.identity.directory.delete_record("users", ANNA)
    hub.post_signed({"id": ANNA, "entityType": "USER", "eventType": "DELETE"})
    assert (hub.customer() or {})["active"] is False


def test_a_name_that_a_connection_does_not_know_is_a_missing_setting(hub: Hub) -> None:
    routes = Route.objects.filter(source__slug="aurora", entity_type="USER")
    for field, side, slug in (
        ("identity_entity", "identity", "aurora"),
        ("target_entity", "target", "shop"),
    ):
        routes.update(**{"identity_entity": "", "target_entity": "", field: "OTHER"})
        status, document = post(hub)
        assert (status, document["code"]) == (424, f"{side}-not-configured"), slug
        assert document["errors"][0]["field"] == "/entities/OTHER"


def test_two_sources_with_other_words_feed_one_target_without_sharing_a_record(hub: Hub) -> None:
    second_source(target_type="USER")
    hub.change_email("anna.one@example.com")
    assert post(hub)[0] == 200
    record = links()["aurora", "USER", ANNA]
    # The same id and the same address at another identity service: not the same person.
    writes = len(hub.writes())
    _, document = post(hub, entity_type="PERSON")
    assert ("hr", "PERSON", ANNA) not in links() or links()["hr", "PERSON", ANNA] != record, document
    assert links()["aurora", "USER", ANNA] == record
    changed = [write for write in hub.writes()[writes:] if write["path"].endswith(f"/{record}")]
    assert changed == [], "the record of the other source is not written"
    # A person whom only the second source has gets a record among those of the first one.
    a_person(hub, BERT, "bert@example.com")
    assert post(hub, BERT, entity_type="PERSON")[0] == 200
    assert (hub.customer(BERT) or {})["email"] == "bert@example.com"
    assert links()["hr", "PERSON", BERT] != record
    # The first source cannot take it over either.
    post(hub, BERT)
    owners = [subject for subject, linked in links().items() if linked == links()["hr", "PERSON", BERT]]
    assert owners == [("hr", "PERSON", BERT)]
    assert len(set(links().values())) == len(links())


def test_records_of_another_entity_type_of_the_target_may_have_the_same_id(hub: Hub) -> None:
    """Ids are unique in one place of the target only."""
    shop = Connection.objects.get(slug="shop")
    shop.settings["entities"]["CONTACT"] = shop.settings["entities"]["USER"]
    shop.save()
    second_source(target_type="CONTACT")
    post(hub)
    delivery = Delivery.objects.get(entity_type="USER")
    assert not record_links.other_owners(delivery, "4711")
    Link.objects.create(
        identity=Connection.objects.get(slug="hr"),
        target=shop,
        entity_type="PERSON",
        entity_id=BERT,
        record_id="4711",
        applied_at=timezone.now(),
    )
    assert not record_links.other_owners(delivery, "4711")
    Route.objects.filter(entity_type="PERSON").update(target_entity="USER")
    resolved_routes.invalidate()
    assert record_links.other_owners(delivery, "4711")
