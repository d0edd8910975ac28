"""Directus sends webhooks by its own flows, in its own format, and the other end follows."""

from collections.abc import Iterator

import pytest

from tests.peers.cases.directus_pair import DirectusPair
from tests.peers.cases.pair import Person
from tests.peers.cases.sender_cases import Sender, SenderCases, open_flow
from tests.peers.hub.running_hub import HubProcesses
from tests.peers.systems.directus import Directus

pytestmark = pytest.mark.peers


class DirectusToDirectus(DirectusPair):
    """Users become records of a collection of the same Directus."""

    settings_name = "directus"

    def __init__(self, hub: HubProcesses, directus: Directus) -> None:
        super().__init__(hub, directus, directus.url, {"token": directus.hub_token}, {"token": "wrong"})
        self.target_peer = directus

    def find_record(self, entity_id: str) -> Person | None:
        record = self._directus.find_record("customers", entity_id)
        return Person(record["first_name"], record["last_name"], record["email"]) if record else None

    def remove_record(self, entity_id: str) -> None:
        raise NotImplementedError

    def create_conflicting_record(self, entity_id: str, person: Person) -> str:
        raise NotImplementedError

    def find_members(self, group_id: str, name: str) -> list[str] | None:
        raise NotImplementedError


@pytest.fixture(scope="module")
def sender(hub: HubProcesses, directus: Directus) -> Iterator[Sender]:
    yield from open_flow(DirectusToDirectus(hub, directus), directus)


class TestDirectusFlows(SenderCases):
    peers = "Directus → Directus"
