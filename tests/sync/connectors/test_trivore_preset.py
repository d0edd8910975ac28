"""Trivore through its preset, against a server that Trivore's own SDK takes for Trivore."""

from collections.abc import Iterator
from typing import Any

import pytest
from trivoreid.client import TrivoreID
from trivoreid.exceptions import TrivoreIDException
from trivoreid.utils.criteria import Filter

from sync.connectors.contracts.errors import CredentialsRefused
from sync.connectors.contracts.types import IdentityConnector
from sync.connectors.presets import load_preset
from tests.support.http.connectors import MemoryRecorder, identity
from tests.support.http.servers import Service, serving
from tests.sync.connectors.trivore_server import CLIENT, SECRET, Trivore

pytestmark = pytest.mark.pure

ANNA = "5a0000000000000000000000"


@pytest.fixture
def trivore() -> Trivore:
    return Trivore()


@pytest.fixture
def service(trivore: Trivore) -> Iterator[Service]:
    with serving(trivore.answer) as running:
        yield running


def _sdk(service: Service) -> Any:
    return TrivoreID(path="/nonexistent", server=service.url, client_id=CLIENT, client_secret=SECRET)


def _connector(
    service: Service, size: int = 100, secret: str = SECRET, notebook: MemoryRecorder | None = None
) -> IdentityConnector:
    preset = load_preset("trivore")
    for entity in preset["settings"]["entities"].values():
        entity["list"]["size"] = size
    return identity(
        service.url,
        notebook,
        authentication=preset["authentication"],
        credentials={"username": CLIENT, "password": secret},
        settings=preset["settings"],
    )


def test_the_sdk_lists_filters_and_updates_on_the_same_server_that_the_preset_reads(service: Service) -> None:
    users = _sdk(service).user_service
    first = users.get_all(start_index=0, count=2)
    assert (first.totalResults, [one.username for one in first.resources]) == (5, ["anna", "bertil"])
    assert [one.id for one in users.get_all(Filter(Filter.EQUAL, "username", "anna")).resources] == [ANNA]

    anna = users.get(ANNA)
    anna.nickName = "Annukka"
    assert users.update(anna).nickName == "Annukka"

    entity = _connector(service).fetch_entity("USER", ANNA)
    assert entity is not None
    assert (entity.id, entity.attributes["nickName"]) == (ANNA, "Annukka")
    assert entity.attributes["emails"][0]["address"] == "anna@example.com"
    assert entity.version == "2026-11-24T11:00:00Z"


@pytest.mark.parametrize(
    ("entity_type", "entity_id", "name"),
    [("GROUP", "5b0000000000000000000001", "Regulars"), ("FILE", "5c0000000000000000000001", "Letters")],
)
def test_groups_and_data_storages_are_fetched(
    service: Service, entity_type: str, entity_id: str, name: str
) -> None:
    entity = _connector(service).fetch_entity(entity_type, entity_id)
    assert entity is not None
    assert (entity.entity_type, entity.attributes["name"]) == (entity_type, name)


def test_a_user_that_the_sdk_deleted_is_absent(service: Service) -> None:
    _sdk(service).user_service.delete(ANNA)
    assert _connector(service).fetch_entity("USER", ANNA) is None


def test_a_missing_permission_is_reported_with_the_message_of_the_service(
    service: Service, trivore: Trivore
) -> None:
    trivore.denied = "ACCOUNT_VIEW"
    with pytest.raises(CredentialsRefused) as caught:
        _connector(service).fetch_entity("USER", ANNA)
    assert caught.value.sentence == "Client does not have required permission ACCOUNT_VIEW."
    with pytest.raises(TrivoreIDException, match="permission ACCOUNT_VIEW"):
        _sdk(service).user_service.get(ANNA)


def test_a_wrong_secret_is_reported_too(service: Service) -> None:
    with pytest.raises(CredentialsRefused) as caught:
        _connector(service, secret="wrong").fetch_entity("USER", ANNA)
    assert caught.value.sentence == "Bad credentials."


def test_a_list_counts_from_nought_and_stops_at_the_total(service: Service) -> None:
    notebook = MemoryRecorder()
    ids = [
        entity.attributes["username"]
        for entity in _connector(service, 2, SECRET, notebook).list_entities("USER")
    ]
    assert ids == ["anna", "bertil", "cecilia", "daavid", "eeva"]
    assert [seen.query for seen in service.seen] == [
        {"startIndex": "0", "count": "2"},
        {"startIndex": "2", "count": "2"},
        {"startIndex": "4", "count": "2"},
    ]
    assert {one.request.purpose for one in notebook.exchanges} == {"list"}


def test_a_list_continues_where_another_one_ended(service: Service) -> None:
    connector = _connector(service, 2)
    begun = list(connector.list_entities("USER", max_pages=1))
    rest = list(connector.list_entities("USER", skip=len(begun)))
    assert [one.attributes["username"] for one in begun + rest] == [
        one.username for one in _sdk(service).user_service.get_all().resources
    ]
