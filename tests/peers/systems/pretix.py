"""pretix: a ticket shop. Its customers are read and written over a REST API, by the token of a team. On SQLite."""

from pathlib import Path
from typing import Any

from tests.peers.systems.peer import JsonApi, Peer

PACKAGES = ("pretix==2026.8.0", "gunicorn==27.0.1")
SEED_PROGRAM = Path(__file__).with_name("programs") / "pretix_token.py"
INSTALL_SECONDS = 800
MIGRATE_SECONDS = 800
_CUSTOMERS = "/api/v1/organizers/shop/customers/"


class Pretix(Peer):
    """`api` is its REST API, as the team of the hub uses it. Installing it and making its database take minutes."""

    name = "pretix"
    api: JsonApi

    @property
    def organizer_url(self) -> str:
        return f"{self.url}/api/v1/organizers/shop"

    @property
    def authorization(self) -> str:
        return f"Token {(self.run_folder / 'token').read_text()}"

    def installation_inputs(self) -> str:
        return " ".join((*PACKAGES, SEED_PROGRAM.read_text(), "1"))

    def install(self, installed: Path) -> None:
        self.install_python_packages(installed, PACKAGES, INSTALL_SECONDS)

    def prepare(self, template: Path) -> None:
        template.mkdir()
        python = str(self.folder / "installed" / "bin" / "python")
        variables = self._variables(template)
        self.run([python, "-m", "pretix", "migrate"], MIGRATE_SECONDS, env=variables)
        # The shell of Django reads a program from standard input.
        token = self.run([python, "-m", "pretix", "shell"], env=variables, input=SEED_PROGRAM.read_text())
        (template / "token").write_text(token.split()[-1])

    def server_command(self) -> tuple[list[str], dict[str, str]]:
        program = str(self.folder / "installed" / "bin" / "gunicorn")
        options = ["--workers", "1", "--threads", "4", "--no-control-socket"]
        command = [program, *options, "--bind", f"127.0.0.1:{self.port}", "pretix.wsgi"]
        return command, self._variables(self.run_folder)

    def is_ready(self) -> bool:
        return JsonApi(self.url, {}).send("GET", _CUSTOMERS).status_code == 401

    def seed(self) -> None:
        self.api = JsonApi(self.url, {"Authorization": self.authorization})

    def create_customer(self, external_id: str, email: str, **name_parts: str) -> str:
        """Create a customer and return its identifier."""
        name = {"_scheme": "given_family", **name_parts}
        body = {"external_identifier": external_id, "email": email, "name_parts": name}
        return str(self.api.call("POST", _CUSTOMERS, body)["identifier"])

    def change_customer(self, identifier: str, **fields: Any) -> None:
        self.api.call("PATCH", f"{_CUSTOMERS}{identifier}/", fields)

    def anonymize_customer(self, identifier: str) -> None:
        self.api.call("POST", f"{_CUSTOMERS}{identifier}/anonymize/")

    def find_customer(self, external_id: str) -> dict[str, Any] | None:
        """Return the customer with this external id; None if there is none. The API has no filter for it."""
        query = {"page_size": "50", "ordering": "-date_joined"}
        found: list[dict[str, Any]] = []
        path: str | None = _CUSTOMERS
        while path is not None:
            page = self.api.call("GET", path, params=query)
            found += [one for one in page["results"] if one["external_identifier"] == external_id]
            path = page["next"] and page["next"].removeprefix(self.url)
            query = {}
        assert len(found) <= 1, "pretix has two customers with one external id"
        return found[0] if found else None

    def _variables(self, folder: Path) -> dict[str, str]:
        file = folder / "pretix.cfg"
        file.write_text(
            f"[pretix]\ninstance_name=peer\nurl={self.url}\ndatadir={folder / 'data'}\n"
            "[database]\nbackend=sqlite3\n[mail]\nfrom=shop@example.org\n"
        )
        (folder / "data").mkdir(exist_ok=True)
        return {"PRETIX_CONFIG_FILE": str(file), "PATH": "/usr/bin:/bin", "HOME": str(folder)}
