"""The cases of a pair whose identity service sends the webhooks itself: flows of Directus, in their own format."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.peers.cases.directus_pair import DirectusPair
from tests.peers.cases.pair import new_person, with_new_address
from tests.peers.hub.configuration import add_source, load_settings
from tests.peers.hub.running_hub import SECRET
from tests.peers.systems.directus import Directus
from tests.support.processes.workers import wait_until
from webhooks.models import Event, Payload, Receipt

# What Directus sends after a change, and who made it. Nothing in it is the hub's.
BODY = '{"trigger":{{ $trigger }},"actor":{{ $accountability }}}'


@dataclass(frozen=True)
class Sender:
    """A flow that reports each change of a user to the source `slug`."""

    pair: DirectusPair
    directus: Directus
    slug: str
    flow_id: str

    def count_answers(self) -> int:
        """Return how many answers Directus has got, once it has one for each request that the hub received."""
        sent = Receipt.objects.filter(source__slug=self.slug).count()
        return len(self.directus.wait_for_answers(self.flow_id, sent))


def open_flow(pair: DirectusPair, directus: Directus) -> Iterator[Sender]:
    """Yield a source for the format of Directus, with the routes of the pair, and a flow that sends to it."""
    document = json.dumps(load_settings("directus-flows")).replace("HUB_USER", directus.hub_user)
    slug = f"{pair.slug}-flows"
    source = add_source(slug, webhook_format=json.loads(document))
    pair.add_routes(source, pair.identity_connection, pair.target_connection)
    flow_id = directus.add_flow(slug, pair.hub.url_of(slug), ["directus_users"], SECRET, BODY)
    yield Sender(pair, directus, slug, flow_id)
    directus.api.call("DELETE", f"/flows/{flow_id}")


class SenderCases:
    """`peers` names the pair in the table. A subclass gives the fixture `sender`."""

    peers: str

    @pytest.mark.case("sender: create")
    def test_a_person_created_in_the_console_of_the_sender_becomes_a_record(self, sender: Sender) -> None:
        person = new_person()
        entity_id = sender.pair.create_person(person)
        wait_until(lambda: sender.pair.find_record(entity_id) == person)

    @pytest.mark.case("sender: a changed address, and the answer")
    def test_a_changed_address_is_changed_at_the_other_end_and_the_answer_says_so(
        self, sender: Sender
    ) -> None:
        known, person = sender.count_answers(), new_person()
        entity_id = sender.pair.create_person(person)
        created = sender.directus.wait_for_answers(sender.flow_id, known + 1)[0]
        assert [result["action"] for result in created["data"]["results"]] == ["created"], created
        sender.pair.change_person(entity_id, with_new_address(person))
        answer = sender.directus.wait_for_answers(sender.flow_id, known + 2)[0]
        assert (answer["status"], answer["data"]["status"]) == (200, "succeeded"), answer
        assert [result["action"] for result in answer["data"]["results"]] == ["updated"]
        assert sender.pair.find_record(entity_id) == with_new_address(person)

    @pytest.mark.case("sender: a bulk edit of two")
    def test_a_bulk_edit_of_two_persons_changes_both(self, sender: Sender) -> None:
        known = sender.count_answers()
        ids = [sender.pair.create_person(new_person()) for _ in range(2)]
        sender.directus.wait_for_answers(sender.flow_id, known + 2)
        sender.directus.change_users(ids, last_name="King")
        answer = sender.directus.wait_for_answers(sender.flow_id, known + 3)[0]
        assert (answer["status"], len(answer["data"]["results"])) == (200, 2), answer
        records = [sender.pair.find_record(entity_id) for entity_id in ids]
        assert [record and record.last for record in records] == ["King", "King"]

    @pytest.mark.case("sender: a password in the body")
    def test_a_password_in_the_body_is_stored_nowhere(self, sender: Sender) -> None:
        person, password = new_person(), "never-Stored-4711"
        fields = {"email": person.email, "first_name": person.first, "last_name": person.last}
        entity_id = sender.directus.create("/users", fields | {"password": password})
        wait_until(lambda: sender.pair.find_record(entity_id) == person)
        [event] = Event.objects.filter(entity_id=entity_id, source__slug=sender.slug)
        assert event.payload is not None
        assert b'"first_name"' in event.payload.decrypt()
        assert not any(password.encode() in stored.decrypt() for stored in Payload.objects.all())
        assert password not in sender.pair.hub.log.read_text(errors="replace")

    @pytest.mark.case("sender: a change by the hub itself")
    def test_a_change_by_the_hub_itself_is_not_delivered(self, sender: Sender) -> None:
        person = new_person()
        entity_id = sender.pair.create_person(person)
        wait_until(lambda: sender.pair.find_record(entity_id) == person)
        known = sender.count_answers()
        sender.directus.as_hub().call("PATCH", f"/users/{entity_id}", {"last_name": "Echo"})
        answer = sender.directus.wait_for_answers(sender.flow_id, known + 1)[0]
        assert (answer["status"], answer["data"]["status"]) == (200, "ignored"), answer
        assert sender.pair.find_record(entity_id) == person
