"""A SCIM 2.0 service as identity service, Roundup as target: it refuses a change that does not name the version it changes."""

import pytest

from tests.peers.cases.delivery_cases import DeliveryCases
from tests.peers.cases.pair import Pair, Person, new_person, with_new_address
from tests.peers.cases.scim_pair import ScimPair
from tests.peers.hub.running_hub import HubProcesses
from tests.peers.systems.roundup import USER_NAME, Roundup
from tests.peers.systems.scim2_server import Scim2Server

pytestmark = [pytest.mark.peers, pytest.mark.nightly, pytest.mark.concurrent]


class ScimToRoundup(ScimPair):
    settings_name = "roundup"
    target_settings = "roundup-users-target"
    name_field = "realname"

    def __init__(self, hub: HubProcesses, scim: Scim2Server, roundup: Roundup) -> None:
        right = {"username": USER_NAME, "password": roundup.password}
        super().__init__(hub, scim, roundup.url, right, right | {"password": "wrong"})
        self.target_peer = self.roundup = roundup

    def find_record(self, entity_id: str) -> Person | None:
        user = self.roundup.find_user(entity_id)
        if user is None:
            return None
        first, _, last = user["realname"].partition(" ")
        return Person(first, last, user["address"])

    def rename_record(self, entity_id: str, first: str) -> None:
        record = self.find_record(entity_id)
        assert record is not None
        self.roundup.change_user(self.record_id_of(entity_id), realname=f"{first} {record.last}")

    def remove_record(self, entity_id: str) -> None:
        raise NotImplementedError("Roundup answers for a retired user as for any other")

    def create_conflicting_record(self, entity_id: str, person: Person) -> str:
        self.roundup.create_user(f"other-{entity_id}", "Somebody Else", person.email)
        return f"Email address {person.email} already in use"

    def record_id_of(self, entity_id: str) -> str:
        user = self.roundup.find_user(entity_id)
        assert user is not None
        return str(user["id"])


@pytest.fixture(scope="module")
def pair(hub: HubProcesses, scim2_server: Scim2Server, roundup: Roundup) -> ScimToRoundup:
    return ScimToRoundup(hub, scim2_server, roundup)


class TestScimToRoundup(DeliveryCases):
    """SCIM → Roundup."""

    @pytest.mark.slow_peers
    def test_a_comparison_finds_a_change_behind_the_hubs_back_and_makes_it_equal(self, pair: Pair) -> None:
        super().test_a_comparison_finds_a_change_behind_the_hubs_back_and_makes_it_equal(pair)

    test_members_come_and_go_with_the_group = None  # type: ignore[assignment]  # users have no groups
    test_a_record_that_was_deleted_at_the_target_is_created_again = None  # type: ignore[assignment]  # see above
    test_an_identity_service_that_is_down_is_asked_again = None  # type: ignore[assignment]  # it forgets its users

    def test_a_field_that_the_mapping_does_not_have_stays_as_it_is(self, pair: ScimToRoundup) -> None:
        person, entity_id = self._create(pair)
        pair.roundup.change_user(pair.record_id_of(entity_id), phone="+358401234567")
        pair.change_person(entity_id, with_new_address(person))
        answer = pair.notify(entity_id, "UPDATE")
        assert (answer.status, answer.action) == (200, "updated"), answer
        user = pair.roundup.find_user(entity_id)
        assert user is not None
        assert (user["address"], user["phone"]) == (f"new.{person.email}", "+358401234567")

    def test_a_user_who_is_there_already_is_changed_and_not_created(self, pair: ScimToRoundup) -> None:
        person = new_person()
        entity_id = pair.create_person(person)
        pair.roundup.create_user(entity_id, "Somebody Else", f"old.{person.email}")
        answer = pair.notify(entity_id, "CREATE")
        assert (answer.status, answer.action) == (200, "updated"), answer
        assert pair.find_record(entity_id) == person
