"""scim2-server: the SCIM 2.0 server of the scim2 libraries, with filters, PATCH and ETags. It keeps what it stores in memory."""

from pathlib import Path
from typing import Any

from tests.peers.systems.peer import JsonApi, Peer, new_secret

PACKAGES = ("scim2-server==0.8.3", "scim2-models==0.12.3")
USER_SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:User"


class Scim2Server(Peer):
    """`api` is its SCIM API, as an administrator uses it. A restart leaves it empty."""

    name = "scim2_server"

    def __init__(self, run_folder: Path, port: int | None = None) -> None:
        super().__init__(run_folder, port)
        self.token = new_secret()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/scim+json"}
        self.api = JsonApi(self.scim_url, headers)

    @property
    def scim_url(self) -> str:
        return f"{self.url}/v2"

    def installation_inputs(self) -> str:
        return " ".join(PACKAGES)

    def install(self, installed: Path) -> None:
        self.install_python_packages(installed, PACKAGES)

    def prepare(self, template: Path) -> None:
        template.mkdir()

    def server_command(self) -> tuple[list[str], dict[str, str]]:
        program = str(self.folder / "installed" / "bin" / "scim2-server")
        return [program, "--port", str(self.port), "--bearer-token", self.token], {}

    def is_ready(self) -> bool:
        return self.api.send("GET", "/ServiceProviderConfig").ok

    def create_user(self, name: str, given: str, family: str, email: str, **fields: Any) -> str:
        """Create a user and return their id."""
        return str(self.api.call("POST", "/Users", _user(name, given, family, email) | fields)["id"])

    def replace_user(self, user_id: str, name: str, given: str, family: str, email: str) -> None:
        self.api.call("PUT", f"/Users/{user_id}", _user(name, given, family, email))

    def patch_user(self, user_id: str, path: str, value: Any) -> None:
        """Replace one attribute of a user."""
        operation = {"op": "replace", "path": path, "value": value}
        schemas = ["urn:ietf:params:scim:api:messages:2.0:PatchOp"]
        self.api.call("PATCH", f"/Users/{user_id}", {"schemas": schemas, "Operations": [operation]})

    def delete_user(self, user_id: str) -> None:
        self.api.call("DELETE", f"/Users/{user_id}")

    def find_user(self, external_id: str) -> dict[str, Any] | None:
        """Return the user whose `externalId` this is; None if there is none."""
        return self._find("/Users", external_id)

    def find_group(self, external_id: str) -> dict[str, Any] | None:
        """Return the group whose `externalId` this is; None if there is none."""
        return self._find("/Groups", external_id)

    def _find(self, path: str, external_id: str) -> dict[str, Any] | None:
        query = {"filter": f'externalId eq "{external_id}"'}
        found: list[dict[str, Any]] = self.api.call("GET", path, params=query)["Resources"]
        assert len(found) <= 1, "the server has two resources with one external id"
        return found[0] if found else None


def _user(name: str, given: str, family: str, email: str) -> dict[str, Any]:
    return {
        "schemas": [USER_SCHEMA],
        "userName": name,
        "active": True,
        "name": {"givenName": given, "familyName": family},
        "emails": [{"value": email, "type": "work", "primary": True}],
    }
