"""The cases of a pair of peers. A test module of a pair inherits them."""

import secrets

import pytest

from sync.operations.connection_tests import TestResult as Result
from sync.operations.connection_tests import run_test_steps, store_steps
from tests.peers.cases.comparisons import WITHOUT_BUTTON, compare, make_equal, people_route_of
from tests.peers.cases.pair import Pair, Person, new_person, with_new_address
from tests.support.builders.bulk_replays import staff_user
from tests.support.processes.workers import wait_until


class DeliveryCases:
    """A subclass gives the fixture `pair`."""

    @pytest.mark.nightly
    def test_the_connection_tests_of_both_ends_pass(self, pair: Pair) -> None:
        self._create(pair)
        for connection in (pair.identity_connection, pair.target_connection):
            steps = run_test_steps(connection)
            # Peers are reached without TLS, which is the warning.
            assert store_steps(connection, steps) == Result.WARNED, steps

    @pytest.mark.submission
    def test_a_new_person_becomes_a_record_and_a_new_address_is_changed_in_it(self, pair: Pair) -> None:
        person, entity_id = self._create(pair)
        assert pair.find_record(entity_id) == person
        pair.change_person(entity_id, with_new_address(person))
        answer = pair.notify(entity_id, "UPDATE")
        assert (answer.status, answer.body["status"], answer.action) == (200, "succeeded", "updated"), answer
        assert pair.find_record(entity_id) == with_new_address(person)

    @pytest.mark.nightly
    def test_a_comparison_finds_a_change_behind_the_hubs_back_and_makes_it_equal(self, pair: Pair) -> None:
        person, entity_id = self._create(pair)
        route, by = people_route_of(pair), staff_user()
        # People who were there before the first webhook get a record.
        make_equal(compare(route), route, by)
        before = compare(route)
        assert before.kinds <= WITHOUT_BUTTON, before
        pair.rename_record(entity_id, "Somebody")
        after = compare(route)
        assert after.found - before.found == {("differs", entity_id, (pair.name_field,))}
        assert before.found <= after.found
        make_equal(after, route, by)
        assert pair.find_record(entity_id) == person
        assert compare(route).found == before.found

    @pytest.mark.nightly
    def test_a_person_without_a_change_sends_nothing(self, pair: Pair) -> None:
        person, entity_id = self._create(pair)
        answer = pair.notify(entity_id, "UPDATE")
        assert (answer.status, answer.body["status"]) == (200, "unchanged"), answer
        assert pair.find_record(entity_id) == person

    @pytest.mark.nightly
    def test_a_conflict_is_answered_in_the_words_of_the_target(self, pair: Pair) -> None:
        person = new_person()
        entity_id = pair.create_person(person)
        sentence = pair.create_conflicting_record(entity_id, person)
        answer = pair.notify(entity_id, "CREATE")
        assert (answer.status, answer.body["code"]) == (422, "target-rejected"), answer
        assert sentence in answer.body["detail"], answer
        assert not answer.body["retrying"]
        assert pair.find_record(entity_id) is None

    @pytest.mark.nightly
    def test_a_record_that_was_deleted_at_the_target_is_created_again(self, pair: Pair) -> None:
        person, entity_id = self._create(pair)
        pair.remove_record(entity_id)
        assert pair.find_record(entity_id) is None
        pair.change_person(entity_id, with_new_address(person))
        answer = pair.notify(entity_id, "UPDATE")
        assert (answer.status, answer.body["status"], answer.action) == (200, "succeeded", "created"), answer
        assert pair.find_record(entity_id) == with_new_address(person)

    @pytest.mark.nightly
    def test_a_deleted_person_is_removed(self, pair: Pair) -> None:
        _, entity_id = self._create(pair)
        pair.delete_person(entity_id)
        answer = pair.notify(entity_id, "DELETE")
        assert (answer.status, answer.body["status"]) == (200, "succeeded"), answer
        assert pair.find_record(entity_id) is None

    @pytest.mark.nightly
    def test_a_wrong_token_of_the_identity_service_is_named(self, pair: Pair) -> None:
        entity_id = pair.create_person(new_person())
        answer = pair.hub.notify(pair.wrong_identity, entity_id, "CREATE")
        assert (answer.status, answer.body["code"]) == (424, "identity-credentials"), answer
        assert pair.find_record(entity_id) is None

    @pytest.mark.nightly
    def test_a_wrong_token_of_the_target_is_named(self, pair: Pair) -> None:
        entity_id = pair.create_person(new_person())
        answer = pair.hub.notify(pair.wrong_target, entity_id, "CREATE")
        assert (answer.status, answer.body["code"]) == (424, "target-credentials"), answer
        assert pair.find_record(entity_id) is None

    @pytest.mark.nightly
    def test_members_come_and_go_with_the_group(self, pair: Pair) -> None:
        members = [self._create(pair)[1] for _ in range(2)]
        name, group_id = self._create_group(pair, members)
        assert pair.find_members(group_id, name) == sorted(members)
        pair.change_members(group_id, members[:1])
        answer = pair.notify(group_id, "UPDATE", "GROUP")
        assert (answer.status, answer.body["status"]) == (200, "succeeded"), answer
        assert pair.find_members(group_id, name) == members[:1]

    @pytest.mark.nightly
    def test_a_target_that_is_down_gets_the_change_when_it_is_back(self, pair: Pair) -> None:
        self._create(pair)
        person = new_person()
        entity_id = pair.create_person(person)
        pair.target_peer.stop()
        try:
            answer = pair.notify(entity_id, "CREATE")
        finally:
            pair.target_peer.start()
        assert (answer.status, answer.body["code"]) == (424, "target-unavailable"), answer
        assert answer.body["retrying"]
        wait_until(lambda: pair.find_record(entity_id) == person, 90)

    @pytest.mark.nightly
    def test_an_identity_service_that_is_down_is_asked_again(self, pair: Pair) -> None:
        person = new_person()
        entity_id = pair.create_person(person)
        pair.identity_peer.stop()
        try:
            answer = pair.notify(entity_id, "CREATE")
        finally:
            pair.identity_peer.start()
        assert (answer.status, answer.body["code"]) == (424, "identity-unavailable"), answer
        assert answer.body["retrying"]
        wait_until(lambda: pair.find_record(entity_id) == person, 90)

    def _create(self, pair: Pair) -> tuple[Person, str]:
        """Create a person in both systems. Returns the person and their id."""
        person = new_person()
        entity_id = pair.create_person(person)
        answer = pair.notify(entity_id, "CREATE")
        assert (answer.status, answer.body["status"], answer.action) == (200, "succeeded", "created"), answer
        return person, entity_id

    def _create_group(self, pair: Pair, members: list[str]) -> tuple[str, str]:
        """Create a group in both systems. Returns its name and its id."""
        name = f"Engineers {secrets.token_hex(4)}"
        group_id = pair.create_group(name, members)
        answer = pair.notify(group_id, "CREATE", "GROUP")
        assert (answer.status, answer.body["status"]) == (200, "succeeded"), answer
        return name, group_id
