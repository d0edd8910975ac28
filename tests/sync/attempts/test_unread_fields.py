"""A field that the target does not return is sent when its value is another one than the last that was sent, also when it
is cleared: nothing stays outdated for good, and nothing is sent twice.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from connectors.presets import load_preset
from sync.models import Connection, Link, MappingVersion, Route
from tests.support.http.connectors import make_operations
from tests.support.http.servers import serving
from tests.support.hub import ANNA, Hub
from tests.support.targets.list_store import TOKEN, ListStore

pytestmark = pytest.mark.concurrent

MAPPING = {
    "fields": {
        "externalId": {"path": "entity.id"},
        "userName": {"path": "entity.username", "required": True},
        "title": {"path": "entity.title"},
    },
    "match": {"external_id": "externalId"},
}
# The title is sent, and never read.
RESULT = {"result": "{id: id, externalId: externalId, userName: userName}"}
SEARCH = {
    "path": "/Users",
    "query": {"filter": "{field} eq {value:quoted}"},
    "fields": ["externalId"],
    "result": "Resources[].{id: id, externalId: externalId, userName: userName}",
}


@pytest.fixture
def store(hub: Hub) -> Iterator[ListStore]:
    """Return a strict store whose titles the settings do not read."""
    target = ListStore()
    item = {"path": "/Users/{id}", **RESULT}
    users = make_operations(
        "/Users",
        get=item,
        search=SEARCH,
        create={"path": "/Users", **RESULT},
        update={**item, "style": "changed"},
    )
    with serving(target.answer) as service:
        shop = Connection.objects.get(slug="shop")
        shop.base_url, shop.settings = service.url, {"entities": {"USER": users}}
        shop.credentials = {"token": TOKEN}
        shop.full_clean()
        shop.save()
        mapping = Route.objects.get(source__slug="aurora", entity_type="USER").mapping
        MappingVersion.objects.filter(mapping=mapping).update(declaration=MAPPING)
        yield target
        hub.wait_until_idle()
        hub.wait_until_quiet()


def post(hub: Hub, title: str | None) -> str:
    """Change Anna's title and post a webhook. Returns the status of its outcome."""
    hub.identity.directory.update_record("users", ANNA, {"title": title}, replaces=False)
    answer = hub.post_signed({"id": ANNA, "entityType": "USER", "eventType": "UPDATE"}).json()
    return str(answer.get("code") or answer["status"])


def test_a_title_that_is_cleared_after_the_creation_is_cleared_in_the_target(
    hub: Hub, store: ListStore
) -> None:
    assert post(hub, "Boss") == "succeeded"
    (user,) = store.users.values()
    assert user["title"] == "Boss"
    assert post(hub, "Boss") == "unchanged"
    assert post(hub, None) == "succeeded"
    assert user["title"] is None
    assert post(hub, None) == "unchanged"
    assert len(store.writes) == 2


@pytest.mark.submission
def test_each_change_of_a_title_is_sent_once(hub: Hub, store: ListStore) -> None:
    outcomes = [post(hub, title) for title in ("A", "A", "B", "B", "A", None, None, "A")]
    assert outcomes == [
        *("succeeded", "unchanged"),
        *("succeeded", "unchanged"),
        *("succeeded",) * 2,
        "unchanged",
        "succeeded",
    ]
    (user,) = store.users.values()
    assert user["title"] == "A"


@pytest.mark.submission
@pytest.mark.parametrize("title", ["Boss", None])
def test_the_first_update_of_a_linked_record_sends_what_it_cannot_read(
    hub: Hub, store: ListStore, title: str | None
) -> None:
    """Whether the record has a title is not known."""
    user: dict[str, Any] = store.add(externalId=ANNA, userName="anna.aalto", title="Former")
    assert post(hub, title) == "succeeded"
    assert user["title"] == title
    assert post(hub, title) == "unchanged"


def test_another_field_does_not_send_the_title_again(hub: Hub, store: ListStore) -> None:
    assert post(hub, "Boss") == "succeeded"
    (user,) = store.users.values()
    user.update(userName="renamed", title="Changed by a person")
    assert post(hub, "Boss") == "succeeded"
    assert store.writes[-1].json() == {"userName": "anna.aalto"}
    assert post(hub, None) == "succeeded", "what was sent last is still known"
    assert user["title"] is None


@pytest.mark.submission
def test_a_record_that_is_created_anew_gets_the_title_again(hub: Hub, store: ListStore) -> None:
    assert post(hub, "Boss") == "succeeded"
    Link.objects.all().delete()
    (user,) = store.users.values()
    user["title"] = None
    assert post(hub, "Boss") == "succeeded"
    assert user["title"] == "Boss"


def test_a_deactivation_that_clears_a_title_is_sent_once(hub: Hub, store: ListStore) -> None:
    """An empty title that was not read is no deactivated record."""
    policy = {"when_deleted": Route.DeletionPolicy.DEACTIVATE, "deactivation": {"title": None}}
    Route.objects.filter(source__slug="aurora", entity_type="USER").update(**policy)
    assert post(hub, "Boss") == "succeeded"
    hub.identity.directory.delete_record("users", ANNA)
    deletion = {"id": ANNA, "entityType": "USER", "eventType": "DELETE"}
    assert [hub.post_signed(deletion).json()["status"] for _ in range(2)] == ["succeeded", "unchanged"]
    (user,) = store.users.values()
    assert user["title"] is None


@pytest.mark.submission
@pytest.mark.parametrize("preset", ["scim-put-target", "scim-patch-target", "scim-patch-etag-target"])
def test_a_title_of_a_preset_is_sent_with_the_creation_and_cleared(
    hub: Hub, store: ListStore, preset: str
) -> None:
    Connection.objects.filter(slug="shop").update(settings=load_preset(preset)["settings"])
    assert [post(hub, title) for title in ("Boss", "Boss", None, None)] == ["succeeded", "unchanged"] * 2
    (user,) = store.users.values()
    assert user.get("title") is None
    assert store.writes[0].json()["title"] == "Boss"
