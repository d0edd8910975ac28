"""A SCIM 2.0 service as identity service, pretix as target: a customer is anonymized in place of deleted."""

import pytest

from tests.peers.cases.delivery_cases import DeliveryCases
from tests.peers.cases.pair import Person, new_person, with_new_address
from tests.peers.cases.scim_pair import ScimPair
from tests.peers.hub.running_hub import HubProcesses
from tests.peers.systems.pretix import Pretix
from tests.peers.systems.scim2_server import Scim2Server
from tests.peers.test_lists import check_list, connect, state_in_memory

__all__ = ["state_in_memory"]

pytestmark = [pytest.mark.peers, pytest.mark.nightly, pytest.mark.slow_peers, pytest.mark.concurrent]


class ScimToPretix(ScimPair):
    settings_name = "pretix"
    target_settings = "pretix-customers-target"
    name_field = "given_name"

    def __init__(self, hub: HubProcesses, scim: Scim2Server, pretix: Pretix) -> None:
        right = {"value": pretix.authorization}
        super().__init__(hub, scim, pretix.organizer_url, right, {"value": "Token wrong"})
        self.target_peer = self.pretix = pretix

    def find_record(self, entity_id: str) -> Person | None:
        customer = self.pretix.find_customer(entity_id)
        if customer is None:
            return None
        name = customer["name_parts"]
        return Person(name["given_name"], name["family_name"], customer["email"])

    def rename_record(self, entity_id: str, first: str) -> None:
        record = self.find_record(entity_id)
        assert record is not None
        name = {"_scheme": "given_family", "given_name": first, "family_name": record.last}
        self.pretix.change_customer(self.identifier_of(entity_id), name_parts=name)

    def remove_record(self, entity_id: str) -> None:
        self.pretix.anonymize_customer(self.identifier_of(entity_id))

    def create_conflicting_record(self, entity_id: str, person: Person) -> str:
        raise NotImplementedError("a customer with the address is found, and waits for a person")

    def identifier_of(self, entity_id: str) -> str:
        customer = self.pretix.find_customer(entity_id)
        assert customer is not None
        return str(customer["identifier"])


@pytest.fixture(scope="module")
def pair(hub: HubProcesses, scim2_server: Scim2Server, pretix: Pretix) -> ScimToPretix:
    return ScimToPretix(hub, scim2_server, pretix)


class TestScimToPretix(DeliveryCases):
    """SCIM → pretix."""

    # The comparison of a SCIM service is a case of Roundup's pair.
    test_a_comparison_finds_a_change_behind_the_hubs_back_and_makes_it_equal = None  # type: ignore[assignment]
    test_a_conflict_is_answered_in_the_words_of_the_target = None  # type: ignore[assignment]  # a found customer waits for a person
    test_members_come_and_go_with_the_group = None  # type: ignore[assignment]  # customers have no groups
    test_an_identity_service_that_is_down_is_asked_again = None  # type: ignore[assignment]  # it forgets its users

    def test_an_address_of_another_customer_is_refused_in_the_words_of_pretix(
        self, pair: ScimToPretix
    ) -> None:
        person, entity_id = self._create(pair)
        pair.pretix.create_customer("other", f"new.{person.email}", given_name="Somebody")
        pair.change_person(entity_id, with_new_address(person))
        answer = pair.notify(entity_id, "UPDATE")
        assert (answer.status, answer.body["code"]) == (422, "target-rejected"), answer
        assert "An account with this email address is already registered." in answer.body["detail"]
        assert pair.find_record(entity_id) == person

    def test_a_customer_with_the_address_waits_for_a_person(self, pair: ScimToPretix) -> None:
        person = new_person()
        entity_id = pair.create_person(person)
        pair.pretix.create_customer(f"other-{entity_id}", person.email, given_name="Somebody")
        answer = pair.notify(entity_id, "CREATE")
        assert [result["code"] for result in answer.body["results"]] == ["held-match"], answer
        customer = pair.pretix.find_customer(f"other-{entity_id}")
        assert customer is not None
        assert (customer["name"], customer["email"]) == ("Somebody", person.email)
        assert pair.find_record(entity_id) is None

    def test_fields_that_the_mapping_does_not_have_stay_as_they_are(self, pair: ScimToPretix) -> None:
        person, entity_id = self._create(pair)
        pair.pretix.change_customer(pair.identifier_of(entity_id), notes="VIP", phone="+358401234567")
        pair.change_person(entity_id, with_new_address(person))
        answer = pair.notify(entity_id, "UPDATE")
        assert (answer.status, answer.action) == (200, "updated"), answer
        customer = pair.pretix.find_customer(entity_id)
        assert customer is not None
        assert (customer["email"], customer["notes"], customer["phone"]) == (
            f"new.{person.email}",
            "VIP",
            "+358401234567",
        )


@pytest.mark.pure
def test_customers_are_listed_without_the_anonymized_ones(pretix: Pretix) -> None:
    ids = [pretix.create_customer(f"list-{n}", f"list-{n}@example.org", given_name="Ada") for n in range(4)]
    pretix.anonymize_customer(ids[1])
    connector, recorder = connect(
        "pretix-customers-target", pretix.organizer_url, {"value": pretix.authorization}
    )
    check_list(connector, recorder, {ids[0], *ids[2:]}, 2)
    assert connector.get_record("USER", ids[1]) is None
