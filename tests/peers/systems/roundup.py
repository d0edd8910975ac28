"""Roundup: an issue tracker. Its users are read and written over a REST API that demands a version for each change. On SQLite."""

from configparser import ConfigParser
from pathlib import Path
from typing import Any

from tests.peers.systems.peer import JsonApi, Peer, new_secret

# roundup-server refuses to run as root.
PACKAGES = ("roundup==2.6.0", "gunicorn==27.0.1")
USER_NAME = "admin"
# The value of the header `Origin` that the preset sends.
ORIGIN = "https://hub.example.com"


class Roundup(Peer):
    """`api` is its REST API, as an administrator uses it."""

    name = "roundup"
    api: JsonApi

    @property
    def password(self) -> str:
        return (self.run_folder / "password").read_text()

    def installation_inputs(self) -> str:
        return " ".join((*PACKAGES, ORIGIN, "1"))

    def install(self, installed: Path) -> None:
        self.install_python_packages(installed, PACKAGES)

    def prepare(self, template: Path) -> None:
        template.mkdir()
        (template / "password").write_text(new_secret())
        admin = [str(self.folder / "installed" / "bin" / "roundup-admin"), "-i", str(template / "tracker")]
        self.run([*admin, "install", "classic", "sqlite"], env={"PATH": "/usr/bin:/bin"})
        self._write_configuration(template)
        initialise = [*admin, "initialise", (template / "password").read_text()]
        self.run(initialise, env={"PATH": "/usr/bin:/bin"})

    def server_command(self) -> tuple[list[str], dict[str, str]]:
        self._write_configuration(self.run_folder)
        program = str(self.folder / "installed" / "bin" / "gunicorn")
        options = ["--workers", "1", "--threads", "4", "--no-control-socket"]
        application = f"roundup.cgi.wsgi_handler:RequestDispatcher({str(self.run_folder / 'tracker')!r})"
        return [program, *options, "--bind", f"127.0.0.1:{self.port}", application], {}

    def is_ready(self) -> bool:
        return JsonApi(self.url, {}).send("GET", "/rest/data/user").status_code == 403

    def seed(self) -> None:
        self.api = JsonApi(self.url, {"Origin": ORIGIN, "X-Requested-With": "rest"})

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Send a request that must succeed. Returns `data` of its response."""
        auth = (USER_NAME, self.password)
        return self.api.call(method, f"/rest/data/user{path}", body, auth=auth, headers=headers)["data"]

    def create_user(self, name: str, real_name: str, address: str) -> str:
        """Create a user and return their id."""
        return str(self.call("POST", "", {"username": name, "realname": real_name, "address": address})["id"])

    def change_user(self, user_id: str, **fields: str) -> None:
        self.call("PATCH", f"/{user_id}", fields, **{"If-Match": self._version_of(user_id)})

    def retire_user(self, user_id: str) -> None:
        self.call("DELETE", f"/{user_id}", **{"If-Match": self._version_of(user_id)})

    def find_user(self, name: str) -> dict[str, Any] | None:
        """Return the user of this name who is not retired; None if there is none."""
        found = self.call("GET", f"?username:={name}&@fields=username,realname,address,phone")["collection"]
        assert len(found) <= 1, "Roundup has two users of one name"
        return found[0] if found else None

    def _version_of(self, user_id: str) -> str:
        return str(self.call("GET", f"/{user_id}")["@etag"])

    def _write_configuration(self, folder: Path) -> None:
        file = folder / "tracker" / "config.ini"
        parser = ConfigParser(interpolation=None)
        parser.read(file)
        parser.read_dict(
            {
                "main": {"admin_email": "admin@example.org"},
                "tracker": {"web": f"{self.url}/"},
                "web": {"allowed_api_origins": ORIGIN},
                "mail": {"domain": "example.org", "host": "localhost", "debug": "/dev/null"},
            }
        )
        with file.open("w") as output:
            parser.write(output)
