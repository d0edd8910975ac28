"""Directus sends webhooks by its own flows, in its own format, and the other end follows."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.peers.cases.directus_pair import DirectusPair
from tests.peers.cases.pair import Person, new_person, with_new_address
from tests.peers.hub.configuration import add_source, draft_declarations, load_settings
from tests.peers.hub.running_hub import SECRET, HubProcesses
from tests.peers.systems.directus import Directus
from tests.support.processes.workers import wait_until
from webhooks.models import Event, Payload, Receipt

pytestmark = [pytest.mark.peers, pytest.mark.concurrent]

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


class DirectusToDirectus(DirectusPair):
    """Users become records of a collection of the same Directus."""

    settings_name = "directus"

    def __init__(self, hub: HubProcesses, directus: Directus) -> None:
        super().__init__(hub, directus, directus.url, {"token": directus.hub_token}, {"token": "wrong"})
        self.target_peer = directus

    def find_record(self, entity_id: str) -> Person | None:
        record = self._directus.find_record("customers", entity_id)
        return Person(record["first_name"], record["last_name"], record["email"]) if record else None

    def rename_record(self, entity_id: str, first: str) -> None:
        raise NotImplementedError

    def remove_record(self, entity_id: str) -> None:
        raise NotImplementedError

    def create_conflicting_record(self, entity_id: str, person: Person) -> str:
        raise NotImplementedError

    def declarations(self) -> dict[str, Any]:
        return draft_declarations("directus-identity", "directus-target")

    def find_members(self, group_id: str, name: str) -> list[str] | None:
        raise NotImplementedError


@pytest.fixture(scope="module")
def sender(hub: HubProcesses, directus: Directus) -> Iterator[Sender]:
    """Yield a source for the format of Directus, with the routes of the pair, and a flow that sends to it."""
    pair = DirectusToDirectus(hub, directus)
    document = json.dumps(load_settings("directus-flows")).replace("HUB_USER", directus.hub_user)
    slug = f"{pair.slug}-flows"
    source = add_source(slug, webhook_format=json.loads(document))
    pair.add_routes(source, pair.identity_connection, pair.target_connection)
    flow_id = directus.add_flow(slug, pair.hub.url_of(slug), ["directus_users"], SECRET, BODY)
    yield Sender(pair, directus, slug, flow_id)
    directus.api.call("DELETE", f"/flows/{flow_id}")


@pytest.mark.nightly
def test_a_person_created_in_the_console_of_the_sender_becomes_a_record(sender: Sender) -> None:
    person = new_person()
    entity_id = sender.pair.create_person(person)
    wait_until(lambda: sender.pair.find_record(entity_id) == person, 60)


@pytest.mark.submission
def test_a_changed_address_is_changed_at_the_other_end_and_the_answer_says_so(sender: Sender) -> None:
    known, person = sender.count_answers(), new_person()
    entity_id = sender.pair.create_person(person)
    created = sender.directus.wait_for_answers(sender.flow_id, known + 1)[0]
    assert [result["action"] for result in created["data"]["results"]] == ["created"], created
    sender.pair.change_person(entity_id, with_new_address(person))
    answer = sender.directus.wait_for_answers(sender.flow_id, known + 2)[0]
    assert (answer["status"], answer["data"]["status"]) == (200, "succeeded"), answer
    assert [result["action"] for result in answer["data"]["results"]] == ["updated"]
    assert sender.pair.find_record(entity_id) == with_new_address(person)


@pytest.mark.nightly
def test_a_bulk_edit_of_two_persons_changes_both(sender: Sender) -> None:
    known = sender.count_answers()
    ids = [sender.pair.create_person(new_person()) for _ in range(2)]
    sender.directus.wait_for_answers(sender.flow_id, known + 2)
    sender.directus.change_users(ids, last_name="King")
    answer = sender.directus.wait_for_answers(sender.flow_id, known + 3)[0]
    assert (answer["status"], len(answer["data"]["results"])) == (200, 2), answer
    records = [sender.pair.find_record(entity_id) for entity_id in ids]
    assert [record and record.last for record in records] == ["King", "King"]


@pytest.mark.nightly
def test_a_password_in_the_body_is_stored_nowhere(sender: Sender) -> None:
    person, password = new_person(), "never-Stored-4711"
    fields = {"email": person.email, "first_name": person.first, "last_name": person.last}
    entity_id = sender.directus.create("/users", fields | {"password": password})
    wait_until(lambda: sender.pair.find_record(entity_id) == person, 60)
    [event] = Event.objects.filter(entity_id=entity_id, source__slug=sender.slug)
    assert event.payload is not None
    assert b'"first_name"' in event.payload.decrypt()
    assert not any(password.encode() in stored.decrypt() for stored in Payload.objects.all())
    assert password not in sender.pair.hub.log.read_text(errors="replace")


@pytest.mark.nightly
def test_a_change_by_the_hub_itself_is_not_delivered(sender: Sender) -> None:
    person = new_person()
    entity_id = sender.pair.create_person(person)
    wait_until(lambda: sender.pair.find_record(entity_id) == person, 60)
    known = sender.count_answers()
    sender.directus.as_hub().call("PATCH", f"/users/{entity_id}", {"last_name": "Echo"})
    answer = sender.directus.wait_for_answers(sender.flow_id, known + 1)[0]
    assert (answer["status"], answer["data"]["status"]) == (200, "ignored"), answer
    assert sender.pair.find_record(entity_id) == person
