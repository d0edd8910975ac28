"""A SCIM 2.0 service as identity service, PocketBase as target: a session by a log-in with JSON, whose token may end early."""

import pytest

from tests.peers.cases.delivery_cases import DeliveryCases
from tests.peers.cases.pair import Person, with_new_address
from tests.peers.cases.scim_pair import ScimPair
from tests.peers.hub.running_hub import HubProcesses
from tests.peers.systems.pocketbase import USER_NAME, PocketBase
from tests.peers.systems.scim2_server import Scim2Server

pytestmark = [pytest.mark.peers, pytest.mark.nightly, pytest.mark.concurrent]


class ScimToPocketBase(ScimPair):
    settings_name = "pocketbase"
    target_settings = "pocketbase-target"

    def __init__(self, hub: HubProcesses, scim: Scim2Server, pocketbase: PocketBase) -> None:
        right = {"username": USER_NAME, "password": pocketbase.password}
        super().__init__(hub, scim, pocketbase.url, right, right | {"password": "wrong"})
        self.target_peer = self.pocketbase = pocketbase

    def find_record(self, entity_id: str) -> Person | None:
        record = self.pocketbase.find_customer(entity_id)
        return Person(record["first_name"], record["last_name"], record["email"]) if record else None

    def rename_record(self, entity_id: str, first: str) -> None:
        self.pocketbase.change_customer(self.record_id_of(entity_id), first_name=first)

    def remove_record(self, entity_id: str) -> None:
        self.pocketbase.delete_customer(self.record_id_of(entity_id))

    def create_conflicting_record(self, entity_id: str, person: Person) -> str:
        self.pocketbase.create_customer(f"other-{entity_id}", person.email)
        return "email: Value must be unique."

    def record_id_of(self, entity_id: str) -> str:
        record = self.pocketbase.find_customer(entity_id)
        assert record is not None
        return str(record["id"])


@pytest.fixture(scope="module")
def pair(hub: HubProcesses, scim2_server: Scim2Server, pocketbase: PocketBase) -> ScimToPocketBase:
    return ScimToPocketBase(hub, scim2_server, pocketbase)


class TestScimToPocketBase(DeliveryCases):
    """SCIM → PocketBase."""

    # The comparison of a SCIM service is a case of Roundup's pair.
    test_a_comparison_finds_a_change_behind_the_hubs_back_and_makes_it_equal = None  # type: ignore[assignment]
    test_members_come_and_go_with_the_group = None  # type: ignore[assignment]  # customers have no groups
    test_an_identity_service_that_is_down_is_asked_again = None  # type: ignore[assignment]  # it forgets its users

    def test_a_token_that_ended_is_renewed_and_the_change_made(self, pair: ScimToPocketBase) -> None:
        person, entity_id = self._create(pair)
        pair.pocketbase.change_customer(pair.record_id_of(entity_id), notes="VIP")
        pair.pocketbase.end_tokens()
        pair.change_person(entity_id, with_new_address(person))
        answer = pair.notify(entity_id, "UPDATE")
        assert (answer.status, answer.action) == (200, "updated"), answer
        record = pair.pocketbase.find_customer(entity_id)
        assert record is not None
        assert (record["email"], record["notes"]) == (f"new.{person.email}", "VIP")
