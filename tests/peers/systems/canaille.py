"""Canaille: an identity server with users and groups over SCIM 2.0, and OAuth 2. On SQLite."""

from pathlib import Path
from typing import Any

from tests.peers.systems.peer import JsonApi, Peer, new_secret

# Without the last pins, pip takes releases with which every read of a user fails.
PACKAGES = (
    "canaille[front,oidc,scim,sqlite]==0.3.6",
    "scim2-models==0.6.12",
    "scim2-client==0.7.5",
    "gunicorn==27.0.1",
)
CLIENT_ID = "hub"
USER_SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP_SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


class Canaille(Peer):
    """`api` is its SCIM API, as an administrator uses it."""

    name = "canaille"
    api: JsonApi

    @property
    def scim_url(self) -> str:
        return f"{self.url}/scim/v2"

    @property
    def client_secret(self) -> str:
        return (self.run_folder / "client-secret").read_text()

    def installation_inputs(self) -> str:
        return " ".join((*PACKAGES, "2"))

    def install(self, installed: Path) -> None:
        self.install_python_packages(installed, PACKAGES)

    def prepare(self, template: Path) -> None:
        template.mkdir()
        program = str(self.folder / "installed" / "bin" / "canaille")
        (template / "client-secret").write_text(new_secret())
        (template / "keys.toml").write_text(
            self.run([program, "jwk", "create", "rsa", "--format", "toml"], env=self._variables(template))
        )
        self._write_configuration(template)
        self.run([program, "db", "upgrade"], env=self._variables(template))
        client = {
            "client-id": CLIENT_ID,
            "client-secret": (template / "client-secret").read_text(),
            "client-name": "Hub",
            "client-uri": "https://hub.example.com",
            "redirect-uris": "https://hub.example.com/callback",
            "grant-types": "client_credentials",
            "token-endpoint-auth-method": "client_secret_basic",
            "scope": "openid",
        }
        options = [text for name, value in client.items() for text in (f"--{name}", value)]
        self.run([program, "create", "client", *options], env=self._variables(template))

    def server_command(self) -> tuple[list[str], dict[str, str]]:
        self._write_configuration(self.run_folder)
        gunicorn = str(self.folder / "installed" / "bin" / "gunicorn")
        options = [
            "--workers",
            "1",
            "--threads",
            "8",
            "--bind",
            f"127.0.0.1:{self.port}",
            "--no-control-socket",
        ]
        return [gunicorn, *options, "canaille:create_app()"], self._variables(self.run_folder)

    def is_ready(self) -> bool:
        return JsonApi(self.url, {}).send("GET", "/.well-known/openid-configuration").ok

    def seed(self) -> None:
        answer = JsonApi(self.url, {}).send(
            "POST",
            "/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(CLIENT_ID, self.client_secret),
        )
        token = answer.json()["access_token"]
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/scim+json"}
        self.api = JsonApi(self.scim_url, headers)

    def create_user(self, name: str, given: str, family: str, email: str) -> str:
        """Create a user and return their name, by which they are read and by which groups list them."""
        return str(self.api.call("POST", "/Users", _user(name, given, family, email))["userName"])

    def replace_user(self, name: str, given: str, family: str, email: str) -> None:
        self.api.call("PUT", f"/Users/{name}", _user(name, given, family, email))

    def delete_user(self, name: str) -> None:
        self.api.call("DELETE", f"/Users/{name}")

    def create_group(self, name: str, members: list[str]) -> str:
        """Create a group of these users and return its id."""
        body = {"schemas": [GROUP_SCHEMA], "displayName": name, "members": self._members(members)}
        return str(self.api.call("POST", "/Groups", body)["id"])

    def set_members(self, group_id: str, members: list[str]) -> None:
        operation = {"op": "replace", "path": "members", "value": self._members(members)}
        self.api.call("PATCH", f"/Groups/{group_id}", {"schemas": [PATCH_SCHEMA], "Operations": [operation]})

    def _members(self, names: list[str]) -> list[dict[str, Any]]:
        ids = {name: self.api.call("GET", f"/Users/{name}")["id"] for name in names}
        return [{"value": ids[name], "$ref": f"{self.scim_url}/Users/{name}"} for name in names]

    def _write_configuration(self, folder: Path) -> None:
        (folder / "canaille.toml").write_text(
            f"""\
SECRET_KEY = "{new_secret()}"
SERVER_NAME = "127.0.0.1:{self.port}"
PREFERRED_URL_SCHEME = "http"
[CANAILLE]
NAME = "Canaille"
DATABASE = "sql"
[CANAILLE_SQL]
DATABASE_URI = "sqlite:///{folder / "canaille.sqlite3"}"
[CANAILLE_OIDC]
ACTIVE_JWKS = [{(folder / "keys.toml").read_text().strip()}]
[CANAILLE_SCIM]
ENABLE_SERVER = true
"""
        )

    def _variables(self, folder: Path) -> dict[str, str]:
        return {
            "CANAILLE_CONFIG": str(folder / "canaille.toml"),
            "HOME": str(folder),
            "PATH": "/usr/bin:/bin",
        }


def _user(name: str, given: str, family: str, email: str) -> dict[str, Any]:
    return {
        "schemas": [USER_SCHEMA],
        "userName": name,
        "active": True,
        "name": {"formatted": f"{given} {family}", "givenName": given, "familyName": family},
        "emails": [{"value": email}],
    }
