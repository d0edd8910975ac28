"""Tryton: an ERP. Its parties are the customers; an e-mail address is a contact mechanism of a party. On SQLite."""

import base64
import json
from pathlib import Path
from typing import Any

from tests.peers.systems.peer import JsonApi, Peer, new_secret

PACKAGES = ("trytond==8.2.1", "trytond-party==8.2.0")
KEY_PROGRAM = Path(__file__).with_name("programs") / "tryton_key.py"
DATABASE = "peer"


class Tryton(Peer):
    """`api` is its REST API, as an administrator uses it."""

    name = "tryton"
    api: JsonApi

    @property
    def rest_url(self) -> str:
        return f"{self.url}/{DATABASE}/rest/model"

    @property
    def key(self) -> str:
        return (self.run_folder / "key").read_text()

    @property
    def password(self) -> str:
        return (self.run_folder / "password").read_text()

    def shell_variables(self) -> dict[str, str]:
        return {"TRYTON": self.rest_url, "TRYTON_KEY": self.key}

    def installation_inputs(self) -> str:
        return " ".join((*PACKAGES, KEY_PROGRAM.read_text()))

    def install(self, installed: Path) -> None:
        self.install_python_packages(installed, PACKAGES)

    def prepare(self, template: Path) -> None:
        template.mkdir()
        (template / f"{DATABASE}.sqlite").touch()
        (template / "password").write_text(new_secret())
        self._write_configuration(template)
        programs = self.folder / "installed" / "bin"
        configuration = str(template / "trytond.conf")
        variables = {"TRYTONPASSFILE": str(template / "password"), "PATH": "/usr/bin:/bin"}
        admin = [str(programs / "trytond-admin"), "-c", configuration, "-d", DATABASE]
        self.run(
            [*admin, "-u", "party", "--activate-dependencies", "--email", "admin@example.org"], env=variables
        )
        key = self.run([str(programs / "python"), str(KEY_PROGRAM), configuration, DATABASE], env=variables)
        (template / "key").write_text(key.strip())

    def server_command(self) -> tuple[list[str], dict[str, str]]:
        self._write_configuration(self.run_folder)
        program = str(self.folder / "installed" / "bin" / "trytond")
        return [program, "-c", str(self.run_folder / "trytond.conf"), "-d", DATABASE], {}

    def is_ready(self) -> bool:
        return JsonApi(self.rest_url, {}).send("GET", "/party.party").status_code == 401

    def seed(self) -> None:
        self.api = JsonApi(self.rest_url, {"Authorization": f"Bearer {self.key}"})

    def create_party(self, code: str, name: str, email: str) -> int:
        """Create a party with an address of its own. Returns its id."""
        mechanism = {"type": "email", "value": email}
        body = {"code": code, "name": name, "contact_mechanisms": [["create", [mechanism]]]}
        return int(self.api.call("POST", "/party.party", body)["id"])

    def archive_party(self, party_id: int) -> None:
        self.api.call("PUT", f"/party.party/{party_id}", {"active": False})

    def find_party(self, code: str) -> dict[str, Any] | None:
        """Return the party with this code, archived or not, with `email`, the value of its first address; None if
        there is none.
        """
        domain = base64.urlsafe_b64encode(
            json.dumps([["code", "=", code], ["active", "in", [True, False]]]).encode()
        )
        fields = ("code", "name", "active", "contact_mechanisms.value", "contact_mechanisms.type")
        query = {"d": domain.decode(), "f": fields}
        parties = self.api.call("GET", "/party.party", params=query)
        assert len(parties) <= 1, "Tryton has two parties with one code"
        if not parties:
            return None
        emails = [one["value"] for one in parties[0]["contact_mechanisms"] if one["type"] == "email"]
        return parties[0] | {"emails": emails, "active": bool(parties[0]["active"])}

    def _write_configuration(self, folder: Path) -> None:
        (folder / "trytond.conf").write_text(
            f"[database]\nuri = sqlite://\npath = {folder}\n[web]\nlisten = 127.0.0.1:{self.port}\n"
        )
