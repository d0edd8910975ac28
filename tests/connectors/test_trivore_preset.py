"""Trivore through its preset, against a server that Trivore's own SDK takes for Trivore."""

from collections.abc import Iterator
from typing import Any

import pytest
from trivoreid.client import TrivoreID
from trivoreid.exceptions import TrivoreIDException
from trivoreid.utils.criteria import Filter

from connectors.contracts.errors import CredentialsRefused
from connectors.contracts.types import IdentityConnector
from connectors.presets import load_preset
from tests.connectors.trivore_server import CLIENT, SECRET, Trivore
from tests.support.http.connectors import identity
from tests.support.http.servers import Service, serving

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

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


def _connector(service: Service) -> IdentityConnector:
    preset = load_preset("trivore")
    return identity(
        service.url,
        authentication=preset["authentication"],
        credentials={"username": CLIENT, "password": SECRET},
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


def test_a_user_that_the_sdk_deleted_is_absent_and_a_missing_permission_is_the_same_to_both(
    service: Service, trivore: Trivore
) -> None:
    users = _sdk(service).user_service
    users.delete(ANNA)
    assert _connector(service).fetch_entity("USER", ANNA) is None
    trivore.denied = "ACCOUNT_VIEW"
    with pytest.raises(CredentialsRefused) as caught:
        _connector(service).fetch_entity("USER", ANNA)
    assert caught.value.sentence == "Client does not have required permission ACCOUNT_VIEW."
    with pytest.raises(TrivoreIDException, match="permission ACCOUNT_VIEW"):
        users.get(ANNA)
