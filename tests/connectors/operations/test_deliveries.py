"""Deliveries to a target that is described by operations: each outcome as with any other target."""

from collections.abc import Iterator
from typing import Any

import pytest

from sync.models import Attempt, Call, Connection, Link, MappingVersion
from tests.support.http.servers import Reply, SeenRequest, Service, serving
from tests.support.hub import ANNA, Hub
from tests.support.targets import graphql_shop, json_rpc_erp
from tests.support.targets.graphql_shop import PREFIX, GraphqlShop
from tests.support.targets.json_rpc_erp import JsonRpcErp

pytestmark = pytest.mark.concurrent

ANNAS_ADDRESS = "anna.new@example.com"


def connect(service: Service, settings: dict[str, Any]) -> None:
    """Let the hub deliver to another target."""
    shop = Connection.objects.get(slug="shop")
    shop.base_url, shop.settings, shop.credentials = service.url, settings, {"token": graphql_shop.TOKEN}
    shop.full_clean()
    shop.save()


@pytest.fixture
def shop(hub: Hub) -> Iterator[GraphqlShop]:
    """Return a GraphQL shop that the hub delivers to."""
    target = GraphqlShop()
    with serving(target.answer) as service:
        connect(service, graphql_shop.settings())
        yield target
        hub.wait_until_idle()
        hub.wait_until_quiet()


def post(hub: Hub, event_type: str = "UPDATE", user: str = ANNA) -> dict[str, Any]:
    """Post a signed webhook. Returns the answer."""
    document: dict[str, Any] = hub.post_signed(
        {"id": user, "entityType": "USER", "eventType": event_type}
    ).json()
    return document


def writes() -> list[tuple[str, str, int | None]]:
    """Return the purpose, path and status of each recorded write, oldest first."""
    rows = Call.objects.filter(is_write=True).order_by("pk")
    return [(call.purpose, call.path, call.status) for call in rows]


def test_a_record_is_created_left_alone_and_updated(hub: Hub, shop: GraphqlShop) -> None:
    assert post(hub, "CREATE")["status"] == "succeeded"
    (record,) = shop.customers.values()
    assert record["external_id"] == ANNA
    assert Link.objects.get().record_id == f"{PREFIX}1"
    assert post(hub)["status"] == "unchanged"
    hub.change_email(ANNAS_ADDRESS)
    assert post(hub)["status"] == "succeeded"
    assert record["email"] == ANNAS_ADDRESS
    assert writes() == [("create", "/graphql", 200), ("update", "/graphql", 200)]
    sent = [one for one in shop.requests if "customerUpdate" in one["query"]]
    assert [one["variables"]["input"] for one in sent] == [{"email": ANNAS_ADDRESS, "id": f"{PREFIX}1"}]


@pytest.mark.submission
def test_a_conflict_has_the_sentence_of_the_system(hub: Hub, shop: GraphqlShop) -> None:
    post(hub, "CREATE")
    shop.add(email=ANNAS_ADDRESS, external_id="another")
    hub.change_email(ANNAS_ADDRESS)
    answer = post(hub)
    assert answer["code"] == "target-rejected"
    assert "Email has already been taken" in str(answer)
    assert [write[2] for write in writes()] == [200, 200], "the update was not tried again"


def test_a_record_that_was_created_meanwhile_is_updated(hub: Hub, shop: GraphqlShop) -> None:
    """The search of the shop is behind: the creation says that the record exists, and the hub looks again."""
    hub.change_email(ANNAS_ADDRESS)
    record = shop.add(email=ANNAS_ADDRESS, external_id=ANNA, first_name="?")
    # The search by the external id, and the one by the address.
    shop.search_is_behind = 2
    assert post(hub)["status"] == "succeeded"
    assert len(shop.customers) == 1
    assert record["first_name"] != "?"
    assert [write[0] for write in writes()] == ["create", "update"]
    assert Attempt.objects.count() == 1
    assert len(set(Call.objects.filter(is_write=True).values_list("key", flat=True))) == 2


def test_a_value_of_another_record_ends_as_a_refusal_after_one_more_search(
    hub: Hub, shop: GraphqlShop
) -> None:
    hub.change_email(ANNAS_ADDRESS)
    shop.add(email=ANNAS_ADDRESS, external_id="another")
    answer = post(hub)
    assert answer["code"] == "target-rejected", answer
    assert len(writes()) <= 2
    assert len(shop.customers) == 1


@pytest.mark.submission
@pytest.mark.parametrize(("other_writers", "code", "updates"), [(2, "succeeded", 3), (3, "target-stale", 3)])
def test_a_conflicting_write_is_planned_again_at_most_three_times(
    hub: Hub, shop: GraphqlShop, other_writers: int, code: str, updates: int
) -> None:
    post(hub, "CREATE")
    hub.change_email(ANNAS_ADDRESS)
    shop.other_writers = other_writers
    post(hub)
    assert Attempt.objects.latest("pk").code == code
    assert [write[0] for write in writes()] == ["create", *["update"] * updates]
    reads = [one for one in shop.requests if "customer(id" in one["query"]]
    assert len(reads) == updates, "read again before each"


def test_wrong_credentials_are_those_of_the_target(hub: Hub, shop: GraphqlShop) -> None:
    Connection.objects.filter(slug="shop").update(credentials=None)
    connection = Connection.objects.get(slug="shop")
    connection.credentials = {"token": "expired-token"}
    connection.save()
    answer = post(hub)
    assert Attempt.objects.latest("pk").code == "target-credentials", answer
    assert shop.customers == {}


@pytest.mark.parametrize("has_others", [True, False])
def test_a_missing_record_counts_as_deleted_only_with_proof(
    hub: Hub, shop: GraphqlShop, has_others: bool
) -> None:
    post(hub, "CREATE")
    shop.customers.clear()
    if has_others:
        shop.add(email="else@example.com", external_id="another")
    post(hub)
    expected = "succeeded" if has_others else "target-missing-unproven"
    assert Attempt.objects.latest("pk").code == expected
    assert any(one["external_id"] == ANNA for one in shop.customers.values()) is has_others


class RenumberingShop(GraphqlShop):
    """A shop that gives a customer a new id with each change."""

    def _customerUpdate(self, variables: dict[str, Any]) -> Reply:
        given = variables["input"]
        customer = self.customers.pop(given["id"])
        changed = self.add(**{**customer, **given, "id": None})
        changed["id"] = next(key for key, one in self.customers.items() if one is changed)
        return Reply(200, {"data": {"customerUpdate": {"customer": changed, "userErrors": []}}})


@pytest.mark.parametrize("may_change", [True, False])
def test_the_link_follows_an_id_that_may_change(hub: Hub, may_change: bool) -> None:
    target, settings = RenumberingShop(), graphql_shop.settings()
    settings["entities"]["USER"]["id_may_change"] = may_change
    with serving(target.answer) as service:
        connect(service, settings)
        post(hub, "CREATE")
        hub.change_email(ANNAS_ADDRESS)
        post(hub)
        hub.wait_until_idle()
        hub.wait_until_quiet()
    expected = ("succeeded", f"{PREFIX}2") if may_change else ("target-garbled", f"{PREFIX}1")
    assert (Attempt.objects.latest("pk").code, Link.objects.get().record_id) == expected


def test_an_update_of_two_records_is_recorded_as_two_calls(hub: Hub) -> None:
    erp = JsonRpcErp()
    with serving(erp.answer) as service:
        settings = json_rpc_erp.settings()
        operations = settings["entities"]["USER"]["operations"]
        operations["search"]["fields"] += ["external_id", "email"]
        operations["update"] = [
            operations["update"][0]
            | {"body": {"id": 1, "method": "model.party.party.write", "params": [
                {"expression": "to_number(id)"}, {"expression": "changed"}]}, "when": "changed.email"},
            operations["update"][1]
            | {"body": {"id": 1, "method": "model.party.address.write", "params": [
                {"expression": "raw.address"}, {"city": {"expression": "fields.email"}}]}, "when": "changed.email"},
        ]  # fmt: skip
        connect(service, settings)
        assert post(hub, "CREATE")["status"] == "succeeded"
        hub.change_email(ANNAS_ADDRESS)
        assert post(hub)["status"] == "succeeded"
        hub.wait_until_idle()
        hub.wait_until_quiet()
    keys = list(Call.objects.filter(purpose="update").order_by("pk").values_list("key", flat=True))
    assert keys == [keys[0], f"{keys[0]}-2"]
    assert [row["city"] for row in erp.addresses.values()] == [ANNAS_ADDRESS]


class KeyedStore:
    """Customers at the keys that a client chooses. A write is answered 204, and what the store does not know 400."""

    def __init__(self) -> None:
        self.customers: dict[str, dict[str, Any]] = {}

    def answer(self, seen: SeenRequest) -> Reply:
        key = seen.path.removeprefix("/customers/")
        if "/" in key or seen.query or seen.headers.get("authorization") != f"Bearer {graphql_shop.TOKEN}":
            return Reply(400, {"message": "unknown request"})
        if seen.method == "PUT" and key not in self.customers:
            self.customers[key] = seen.json()
            return Reply(204)
        if key not in self.customers:
            return Reply(404, {"message": "no such customer"})
        if seen.method == "GET":
            return Reply(200, {"key": key, **self.customers[key]})
        if seen.method != "PATCH":
            return Reply(400, {"message": f"{key} exists"})
        self.customers[key] |= seen.json()
        return Reply(204)


@pytest.mark.submission
def test_a_record_is_created_at_the_key_that_the_hub_chose(hub: Hub) -> None:
    """The answer has no body: the id is the key, and the record is found again at it."""
    item = {"path": "/customers/{id}"}
    create = {"method": "PUT", "path": "/customers/{key}"}
    settings = {
        "entities": {"USER": {"id": "key", "operations": {"get": item, "create": create, "update": item}}}
    }
    version = MappingVersion.objects.get(mapping__name="Person to customer")
    version.declaration["match"] = {}
    version.save()
    store = KeyedStore()
    with serving(store.answer) as service:
        connect(service, settings)
        assert post(hub, "CREATE")["status"] == "succeeded"
        assert Link.objects.get().record_id == ANNA
        assert post(hub)["status"] == "unchanged"
        hub.change_email(ANNAS_ADDRESS)
        assert post(hub)["status"] == "succeeded"
        hub.wait_until_quiet()
    assert store.customers[ANNA]["email"] == ANNAS_ADDRESS
    assert writes() == [("create", "/customers/{key}", 204), ("update", "/customers/{id}", 204)]
