"""Directus as identity service, Tryton as target: its REST API has no PATCH, and an address is a record of its own."""

import pytest

from sync.models import Route
from tests.peers.cases.delivery_cases import DeliveryCases
from tests.peers.cases.directus_pair import DirectusPair
from tests.peers.cases.pair import Person
from tests.peers.hub.running_hub import HubProcesses
from tests.peers.systems.directus import Directus
from tests.peers.systems.tryton import Tryton

pytestmark = [pytest.mark.peers, pytest.mark.concurrent]


class DirectusToTryton(DirectusPair):
    """A deleted person is deactivated: an ERP keeps the parties of its documents."""

    settings_name = "tryton"
    name_field = "name"

    def __init__(self, hub: HubProcesses, directus: Directus, tryton: Tryton) -> None:
        policy = {"when_deleted": Route.DeletionPolicy.DEACTIVATE, "deactivation": {"active": False}}
        super().__init__(hub, directus, tryton.rest_url, {"token": tryton.key}, {"token": "wrong"}, **policy)
        self.target_peer = self._tryton = tryton

    def find_record(self, entity_id: str) -> Person | None:
        party = self._tryton.find_party(entity_id)
        if party is None or not party["active"]:
            return None
        first, _, last = party["name"].partition(" ")
        [email] = party["emails"]
        return Person(first, last, email)

    def rename_record(self, entity_id: str, first: str) -> None:
        party = self._tryton.find_party(entity_id)
        assert party is not None
        last = party["name"].partition(" ")[2]
        self._tryton.api.call("PUT", f"/party.party/{party['id']}", {"name": f"{first} {last}"})

    def remove_record(self, entity_id: str) -> None:
        party = self._tryton.find_party(entity_id)
        assert party is not None
        self._tryton.api.call("DELETE", f"/party.party/{party['id']}")

    def create_conflicting_record(self, entity_id: str, person: Person) -> str:
        self._tryton.archive_party(self._tryton.create_party(entity_id, "Somebody Else", person.email))
        return "The code on party must be unique."

    def find_members(self, group_id: str, name: str) -> list[str] | None:
        raise NotImplementedError("parties have no groups with members")


@pytest.fixture(scope="module")
def pair(hub: HubProcesses, directus: Directus, tryton: Tryton) -> DirectusToTryton:
    return DirectusToTryton(hub, directus, tryton)


class TestDirectusToTryton(DeliveryCases):
    """Directus → Tryton."""

    test_members_come_and_go_with_the_group = None  # type: ignore[assignment]  # parties have no groups
