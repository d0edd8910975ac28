"""The lists of the presets with the real systems: pages of two, in a stable order, with everything that `get` gives."""

from typing import Any

import pytest

from connectors.auth import log_in_guard
from connectors.presets import load_preset
from connectors.registry import make_connector
from tests.peers.systems.canaille import CLIENT_ID, Canaille
from tests.peers.systems.directus import Directus
from tests.peers.systems.tryton import Tryton
from tests.peers.systems.vendure import USER_NAME, Vendure
from tests.support.http.connectors import MemoryRecorder, read_list

pytestmark = [pytest.mark.peers, pytest.mark.nightly, pytest.mark.concurrent, pytest.mark.pure]


@pytest.fixture(autouse=True)
def state_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_in_guard, "_guard", log_in_guard.MemoryGuard())


def connect(name: str, url: str, credentials: dict[str, str]) -> tuple[Any, MemoryRecorder]:
    """Return a connector with a preset whose lists have pages of two items, and the record of its requests."""
    preset = load_preset(name)
    for entity in preset["settings"]["entities"].values():
        entity.get("operations", entity)["list"]["size"] = 2
    side: Any = "identity" if preset["connector"] == "rest-identity" else "target"
    recorder = MemoryRecorder()
    connector = make_connector(
        side,
        preset["connector"],
        base_url=url,
        authentication=preset["authentication"],
        credentials=credentials,
        settings=preset["settings"],
        deadline=60.0,
        request_id="lists",
        recorder=recorder,
    )
    return connector, recorder


def check_list(connector: Any, recorder: MemoryRecorder, created: set[str], pages: int) -> None:
    """Check that the list has the created items, each once, as their own path gives them."""
    listed = read_list(connector)
    assert len([request for request in recorder.sent if request.purpose == "list"]) >= pages
    found = {item.id: item for item in listed}
    assert len(found) == len(listed)
    assert created <= found.keys()
    for item_id in created:
        read = connector.fetch_entity if hasattr(connector, "fetch_entity") else connector.get_record
        assert read("USER", item_id) == found[item_id]


def test_parties_of_tryton_are_listed_with_the_archived_ones(tryton: Tryton) -> None:
    ids = [tryton.create_party(f"list-{n}", f"Ada {n}", f"list-{n}@example.org") for n in range(3)]
    tryton.archive_party(ids[1])
    check_list(*connect("tryton-target", tryton.rest_url, {"token": tryton.key}), set(map(str, ids)), 3)


def test_customers_of_vendure_are_listed(vendure: Vendure) -> None:
    ids = {vendure.create_customer(f"list-{n}", "Ada", str(n), f"list-{n}@example.org") for n in range(3)}
    credentials = {"username": USER_NAME, "password": vendure.password}
    check_list(*connect("vendure-target", vendure.url, credentials), ids, 2)


def test_items_of_directus_are_listed(directus: Directus) -> None:
    token = {"token": directus.hub_token}
    ids = {directus.create_user("Ada", str(n), f"list-{n}@example.org") for n in range(3)}
    check_list(*connect("directus-identity", directus.url, token), ids, 2)
    ids = {
        directus.create("/items/customers", {"id": f"list-{n}", "email": f"l{n}@a.test"}) for n in range(3)
    }
    check_list(*connect("directus-target", directus.url, token), ids, 2)


def test_users_of_canaille_are_listed(canaille: Canaille) -> None:
    ids = {canaille.create_user(f"list-{n}", "Ada", str(n), f"list-{n}@example.org") for n in range(3)}
    credentials = {"client_id": CLIENT_ID, "client_secret": canaille.client_secret}
    check_list(*connect("canaille-identity", canaille.scim_url, credentials), ids, 1)
