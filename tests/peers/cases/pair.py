"""Two real systems with the hub between them, as the cases use them."""

import secrets
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

from sync.models import Connection
from tests.peers.hub.running_hub import Answer, HubProcesses
from tests.peers.systems.peer import Peer


@dataclass(frozen=True)
class Person:
    """What both systems hold of a person. `email` is in lower case."""

    first: str
    last: str
    email: str


def new_person() -> Person:
    """Return a person whom no peer has."""
    number = secrets.token_hex(4)
    return Person("Ada", f"Lovelace {number}", f"ada.{number}@example.org")


def with_new_address(person: Person) -> Person:
    """Return a person with another address."""
    return replace(person, email=f"new.{person.email}")


class Pair(ABC):
    """An identity service and a target, connected by routes of the source `slug`.

    `name_field` is the field of a record that has the first name. `wrong_identity` and `wrong_target` are sources whose routes have one connection with a wrong credential.
    """

    slug: str
    name_field: str = "first_name"
    wrong_identity: str
    wrong_target: str
    identity_connection: Connection
    target_connection: Connection
    target_peer: Peer
    identity_peer: Peer

    def __init__(self, hub: HubProcesses) -> None:
        self.hub = hub

    def notify(self, entity_id: str, event_type: str, entity_type: str = "USER") -> Answer:
        return self.hub.notify(self.slug, entity_id, event_type, entity_type)

    @abstractmethod
    def create_person(self, person: Person) -> str:
        """Create a person in the identity service. Returns their id there."""

    @abstractmethod
    def change_person(self, entity_id: str, person: Person) -> None:
        """Change a person in the identity service."""

    @abstractmethod
    def delete_person(self, entity_id: str) -> None:
        """Delete a person in the identity service."""

    @abstractmethod
    def find_record(self, entity_id: str) -> Person | None:
        """Return what the target holds of a person; None if it has no record, or an inactive one."""

    @abstractmethod
    def rename_record(self, entity_id: str, first: str) -> None:
        """Give a person another first name in the target, without the hub."""

    @abstractmethod
    def remove_record(self, entity_id: str) -> None:
        """Delete the record of a person in the target, without the hub."""

    @abstractmethod
    def create_conflicting_record(self, entity_id: str, person: Person) -> str:
        """Store a record in the target that a record of this person would conflict with.

        Returns a part of the sentence that the answer has then: of the preset's rule, or of the target itself.
        """

    @abstractmethod
    def create_group(self, name: str, members: list[str]) -> str:
        """Create a group of persons in the identity service. Returns its id there."""

    @abstractmethod
    def change_members(self, group_id: str, members: list[str]) -> None:
        """Make these persons the only members of a group."""

    @abstractmethod
    def find_members(self, group_id: str, name: str) -> list[str] | None:
        """Return the ids of the persons whom the target has in a group, sorted; None if it has no such group."""
