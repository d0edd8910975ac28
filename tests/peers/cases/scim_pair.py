"""A SCIM 2.0 service as identity service of a pair: its users are the persons."""

from typing import Any

from tests.peers.cases.pair import Pair, Person
from tests.peers.hub.configuration import add_connection, add_route, add_source, load_settings
from tests.peers.hub.running_hub import HubProcesses
from tests.peers.systems.scim2_server import Scim2Server


class ScimPair(Pair):
    """A target's class says how records are found. `settings_name`: the file of its mapping, and the name of its source.
    `target_settings`: the file of its connection.
    """

    settings_name: str
    target_settings: str

    def __init__(
        self, hub: HubProcesses, scim: Scim2Server, base_url: str, right: dict[str, str], wrong: dict[str, str],
        **route_fields: Any,
    ) -> None:  # fmt: skip
        super().__init__(hub)
        self.identity_peer = self._scim = scim
        name = self.settings_name
        self.slug, self.wrong_identity, self.wrong_target = name, f"{name}-identity", f"{name}-target"
        settings = ("scim-identity", scim.scim_url)
        identity = add_connection(f"scim-{name}", *settings, {"token": scim.token})
        no_token = add_connection(f"scim-{name}-wrong", *settings, {"token": "wrong"})
        target = add_connection(f"{name}-records", self.target_settings, base_url, right)
        no_target = add_connection(f"{name}-records-wrong", self.target_settings, base_url, wrong)
        self.identity_connection, self.target_connection = identity, target
        [(entity_type, declaration)] = load_settings(f"scim-to-{name}").items()
        for slug, ends, fields in (
            (self.slug, (identity, target), {}),
            (self.wrong_identity, (no_token, target), {"max_attempts": 1}),
            (self.wrong_target, (identity, no_target), {"max_attempts": 1}),
        ):
            add_route(add_source(slug), entity_type, *ends, declaration, **route_fields, **fields)

    def create_person(self, person: Person) -> str:
        return self._scim.create_user(person.email, person.first, person.last, person.email)

    def change_person(self, entity_id: str, person: Person) -> None:
        self._scim.replace_user(entity_id, person.email, person.first, person.last, person.email)

    def delete_person(self, entity_id: str) -> None:
        self._scim.delete_user(entity_id)

    def create_group(self, name: str, members: list[str]) -> str:
        raise NotImplementedError("the targets of these pairs have no groups")

    def change_members(self, group_id: str, members: list[str]) -> None:
        raise NotImplementedError("the targets of these pairs have no groups")

    def find_members(self, group_id: str, name: str) -> list[str] | None:
        raise NotImplementedError("the targets of these pairs have no groups")
