"""Canaille as identity service, over SCIM with OAuth client credentials; Directus as target."""

import secrets
from typing import Any

import pytest

from tests.peers.cases.delivery_cases import DeliveryCases
from tests.peers.cases.pair import Pair, Person
from tests.peers.hub.configuration import add_connection, add_route, add_source, load_settings
from tests.peers.hub.running_hub import HubProcesses
from tests.peers.systems.canaille import CLIENT_ID, Canaille
from tests.peers.systems.directus import Directus

pytestmark = [pytest.mark.peers, pytest.mark.concurrent]

SLUG = "canaille"


class CanailleToDirectus(Pair):
    def __init__(self, hub: HubProcesses, canaille: Canaille, directus: Directus) -> None:
        super().__init__(hub)
        self.identity_peer = self._canaille = canaille
        self.target_peer = self._directus = directus
        self.slug, self.wrong_identity, self.wrong_target = SLUG, f"{SLUG}-identity", f"{SLUG}-target"
        client = {"client_id": CLIENT_ID, "client_secret": canaille.client_secret}
        scim, base = canaille.scim_url, directus.url
        identity = add_connection("canaille", "canaille-identity", scim, client)
        target = add_connection("directus", "directus-target", base, {"token": directus.hub_token})
        no_client = add_connection(
            "canaille-wrong", "canaille-identity", scim, client | {"client_secret": "wrong"}
        )
        no_token = add_connection("directus-wrong", "directus-target", base, {"token": "wrong"})
        self.identity_connection, self.target_connection = identity, target
        mappings = load_settings("canaille-to-directus")
        self._add_routes(self.slug, identity, target, mappings)
        self._add_routes(self.wrong_identity, no_client, target, mappings, max_attempts=1)
        self._add_routes(self.wrong_target, identity, no_token, mappings, max_attempts=1)

    @staticmethod
    def _add_routes(slug: str, identity: Any, target: Any, mappings: dict[str, Any], **fields: Any) -> None:
        source = add_source(slug)
        for entity_type, declaration in mappings.items():
            add_route(source, entity_type, identity, target, declaration, **fields)

    def create_person(self, person: Person) -> str:
        return self._canaille.create_user(
            f"user{secrets.token_hex(4)}", person.first, person.last, person.email
        )

    def change_person(self, entity_id: str, person: Person) -> None:
        self._canaille.replace_user(entity_id, person.first, person.last, person.email)

    def delete_person(self, entity_id: str) -> None:
        self._canaille.delete_user(entity_id)

    def find_record(self, entity_id: str) -> Person | None:
        record = self._directus.find_record("customers", entity_id)
        return Person(record["first_name"], record["last_name"], record["email"]) if record else None

    def rename_record(self, entity_id: str, first: str) -> None:
        self._directus.api.call("PATCH", f"/items/customers/{entity_id}", {"first_name": first})

    def remove_record(self, entity_id: str) -> None:
        self._directus.api.call("DELETE", f"/items/customers/{entity_id}")

    def create_conflicting_record(self, entity_id: str, person: Person) -> str:
        self._directus.create("/items/customers", {"id": f"other-{entity_id}", "email": person.email})
        return "A value that must be unique, such as the e-mail address, belongs to another record already."

    def create_group(self, name: str, members: list[str]) -> str:
        return self._canaille.create_group(name, members)

    def change_members(self, group_id: str, members: list[str]) -> None:
        self._canaille.set_members(group_id, members)

    def find_members(self, group_id: str, name: str) -> list[str] | None:
        record = self._directus.find_record("segments", group_id)
        return sorted(record["members"]) if record else None


@pytest.fixture(scope="module")
def pair(hub: HubProcesses, canaille: Canaille, directus: Directus) -> Pair:
    return CanailleToDirectus(hub, canaille, directus)


class TestCanailleToDirectus(DeliveryCases):
    """Canaille → Directus."""
