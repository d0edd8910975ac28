"""A change of a person's address leaves the other addresses of the record alone, from the first link on."""

from collections.abc import Iterator
from copy import deepcopy

import pytest

from connectors.presets import load_preset
from sync.models import Connection, MappingVersion, Route
from tests.support.http.servers import serving
from tests.support.hub import ANNA, Hub
from tests.support.targets.list_store import TOKEN, ListStore

pytestmark = [pytest.mark.one_database, pytest.mark.concurrent]

HOME = {"value": "anna@home.example", "type": "home", "display": "At home"}
WORK = {"value": "anna@former.example", "type": "work", "primary": True, "display": "At work"}
NEW = "anna.new@example.com"
MAPPING = {
    "fields": {
        "externalId": {"path": "entity.id"},
        "userName": {"path": "entity.username", "required": True},
        "email": {"path": "entity.emails[0].address", "caseless": True},
    },
    "match": {"external_id": "externalId"},
}
PRESETS = ["scim-put-target", "scim-patch-target", "scim-patch-etag-target"]


@pytest.fixture(params=PRESETS)
def store(hub: Hub, request: pytest.FixtureRequest) -> Iterator[ListStore]:
    """Return a SCIM service that the hub delivers to, with each of the presets."""
    target = ListStore()
    with serving(target.answer) as service:
        shop = Connection.objects.get(slug="shop")
        shop.base_url, shop.settings = service.url, load_preset(request.param)["settings"]
        shop.credentials = {"token": TOKEN}
        shop.full_clean()
        shop.save()
        mapping = Route.objects.get(source__slug="aurora", entity_type="USER").mapping
        MappingVersion.objects.filter(mapping=mapping).update(declaration=MAPPING)
        yield target
        hub.wait_until_idle()
        hub.wait_until_quiet()


def post(hub: Hub) -> str:
    """Post a webhook about Anna. Returns the status of its outcome."""
    answer = hub.post_signed({"id": ANNA, "entityType": "USER", "eventType": "UPDATE"}).json()
    return str(answer.get("code") or answer["status"])


@pytest.mark.submission_rows(2)
def test_a_record_that_is_linked_keeps_its_other_addresses(hub: Hub, store: ListStore) -> None:
    user = store.add(externalId=ANNA, userName="anna.aalto", emails=[HOME, WORK])
    assert post(hub) == "succeeded"
    assert user["emails"] == [HOME, {**WORK, "value": "anna.aalto@example.com"}]
    hub.change_email(NEW)
    assert post(hub) == "succeeded"
    assert user["emails"] == [HOME, {**WORK, "value": NEW}]


@pytest.mark.submission
def test_only_the_selected_address_decides_whether_something_changed(hub: Hub, store: ListStore) -> None:
    user = store.add(externalId=ANNA, userName="anna.aalto", emails=[HOME])
    assert post(hub) == "succeeded"
    added = {"value": "anna.aalto@example.com", "primary": True}
    assert user["emails"] == [HOME, added], "an address that is missing is added"
    user["emails"] = [
        {**HOME, "value": "moved@home.example"},
        added,
        {"value": "third@b.test", "type": "other"},
    ]
    before, sent = deepcopy(user["emails"]), len(store.writes)
    assert post(hub) == "unchanged"
    assert (user["emails"], len(store.writes)) == (before, sent)


@pytest.mark.submission
def test_an_address_that_is_cleared_is_removed_alone(hub: Hub, store: ListStore) -> None:
    user = store.add(externalId=ANNA, userName="anna.aalto", emails=[WORK, HOME])
    assert post(hub) == "succeeded", "a field is cleared only after it has had a value"
    hub.identity.directory.update_record("users", ANNA, {"emails": []}, replaces=False)
    assert post(hub) == "succeeded"
    assert user["emails"] == [HOME]
    assert post(hub) == "unchanged"


@pytest.mark.submission_rows(2)
def test_an_address_that_another_client_adds_during_the_delivery_is_kept(hub: Hub, store: ListStore) -> None:
    """With ETags the hub plans again; without them it has read the list right before it writes."""
    user = store.add(externalId=ANNA, userName="anna.aalto", emails=[WORK])
    assert post(hub) == "succeeded"
    hub.change_email(NEW)
    store.after_read.append(lambda: user["emails"].append(HOME))
    assert post(hub) == "succeeded"
    assert user["emails"] == [{**WORK, "value": NEW}, HOME]


@pytest.mark.submission_rows(2)
def test_a_person_who_is_created_has_one_address(hub: Hub, store: ListStore) -> None:
    assert post(hub) == "succeeded"
    (user,) = store.users.values()
    assert user["emails"] == [{"value": "anna.aalto@example.com", "primary": True}]
    assert post(hub) == "unchanged"
