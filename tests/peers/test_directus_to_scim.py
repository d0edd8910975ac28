"""Directus as identity service, a SCIM 2.0 service as target: each update and deletion names the version that it changes."""

import pytest

from tests.peers.cases.delivery_cases import DeliveryCases
from tests.peers.cases.directus_pair import DirectusPair
from tests.peers.cases.pair import Pair, Person
from tests.peers.hub.running_hub import HubProcesses
from tests.peers.systems.directus import Directus
from tests.peers.systems.scim2_server import Scim2Server

pytestmark = [pytest.mark.peers, pytest.mark.nightly, pytest.mark.concurrent]


class DirectusToScim(DirectusPair):
    settings_name = "scim"
    target_settings = "scim-patch-etag-target"
    name_field = "name.givenName"

    def __init__(self, hub: HubProcesses, directus: Directus, scim: Scim2Server) -> None:
        super().__init__(hub, directus, scim.scim_url, {"token": scim.token}, {"token": "wrong"})
        self.target_peer = self._scim = scim

    def find_record(self, entity_id: str) -> Person | None:
        user = self._scim.find_user(entity_id)
        if user is None:
            return None
        [email] = user["emails"]
        return Person(user["name"]["givenName"], user["name"]["familyName"], email["value"])

    def rename_record(self, entity_id: str, first: str) -> None:
        self._scim.patch_user(self._id_of(entity_id), "name.givenName", first)

    def remove_record(self, entity_id: str) -> None:
        self._scim.delete_user(self._id_of(entity_id))

    def create_conflicting_record(self, entity_id: str, person: Person) -> str:
        self._scim.create_user(
            person.email, "Somebody", "Else", person.email, externalId=f"other-{entity_id}"
        )
        return "already in use or are reserved"

    def find_members(self, group_id: str, name: str) -> list[str] | None:
        group = self._scim.find_group(group_id)
        if group is None:
            return None
        members = [self._scim.api.call("GET", f"/Users/{one['value']}") for one in group.get("members", [])]
        return sorted(user["externalId"] for user in members)

    def _id_of(self, entity_id: str) -> str:
        user = self._scim.find_user(entity_id)
        assert user is not None
        return str(user["id"])


@pytest.fixture(scope="module")
def pair(hub: HubProcesses, directus: Directus, scim2_server: Scim2Server) -> DirectusToScim:
    return DirectusToScim(hub, directus, scim2_server)


class TestDirectusToScim(DeliveryCases):
    """Directus → SCIM."""

    @pytest.mark.slow_peers
    def test_a_comparison_finds_a_change_behind_the_hubs_back_and_makes_it_equal(self, pair: Pair) -> None:
        super().test_a_comparison_finds_a_change_behind_the_hubs_back_and_makes_it_equal(pair)
