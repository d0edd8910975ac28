"""Directus as identity service of a pair: its users are the persons, its roles the groups."""

from typing import Any

from sync.models import Connection
from tests.peers.cases.pair import Pair, Person
from tests.peers.hub.configuration import add_connection, add_route, add_source, load_settings
from tests.peers.hub.running_hub import HubProcesses
from tests.peers.systems.directus import Directus
from webhooks.models import Source


class DirectusPair(Pair):
    """A target's class says how records are found. `settings_name`: the files of its connection and mappings."""

    settings_name: str
    target_settings: str | None = None

    def __init__(
        self, hub: HubProcesses, directus: Directus, base_url: str, right: dict[str, str], wrong: dict[str, str],
        **route_fields: Any,
    ) -> None:  # fmt: skip
        super().__init__(hub)
        self.identity_peer = self._directus = directus
        name = self.settings_name
        self.slug, self.wrong_identity, self.wrong_target = name, f"{name}-identity", f"{name}-target"
        settings = ("directus-identity", directus.url)
        identity = add_connection(f"directus-{name}", *settings, {"token": directus.hub_token})
        no_token = add_connection(f"directus-{name}-wrong", *settings, {"token": "wrong"})
        target_settings = self.target_settings or f"{name}-target"
        target = add_connection(f"{name}-records", target_settings, base_url, right)
        no_target = add_connection(f"{name}-records-wrong", target_settings, base_url, wrong)
        self.identity_connection, self.target_connection = identity, target
        self._route_fields = route_fields
        self.add_routes(add_source(self.slug), identity, target)
        self.add_routes(add_source(self.wrong_identity), no_token, target, max_attempts=1)
        self.add_routes(add_source(self.wrong_target), identity, no_target, max_attempts=1)

    def add_routes(self, source: Source, identity: Connection, target: Connection, **fields: Any) -> None:
        """Create a route for each entity type that the pair has a mapping for."""
        for entity_type, declaration in self.declarations().items():
            add_route(source, entity_type, identity, target, declaration, **self._route_fields, **fields)

    def declarations(self) -> dict[str, Any]:
        """Return the declaration of the mapping of each entity type."""
        return load_settings(f"directus-to-{self.settings_name}")

    def create_person(self, person: Person) -> str:
        return self._directus.create_user(person.first, person.last, person.email)

    def change_person(self, entity_id: str, person: Person) -> None:
        fields = {"first_name": person.first, "last_name": person.last, "email": person.email}
        self._directus.change_users([entity_id], **fields)

    def delete_person(self, entity_id: str) -> None:
        self._directus.delete_user(entity_id)

    def create_group(self, name: str, members: list[str]) -> str:
        role = self._directus.create("/roles", {"name": name})
        self._directus.change_users(members, role=role)
        return role

    def change_members(self, group_id: str, members: list[str]) -> None:
        query = {"fields": "users.id"}
        users = self._directus.api.call("GET", f"/roles/{group_id}", params=query)["data"]["users"]
        self._directus.change_users([one["id"] for one in users if one["id"] not in members], role=None)
