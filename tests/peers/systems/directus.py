"""Directus: users, roles and files, with flows that send webhooks; its collections are the records of a target.

It stores them on a PostgreSQL server of its own, because its driver for SQLite would have to be compiled.
"""

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.peers.systems.peer import JsonApi, Peer, PeerUnavailable, ServerProcess, new_secret
from tests.support.database.server_programs import (
    run_as,
    server_programs,
    unprivileged_user,
    wheel_programs,
)
from tests.support.processes.ports import free_port

PACKAGES = {"directus": "12.4.0"}
OVERRIDES = {"isolated-vm": "6.1.2"}  # ships its binary; the release that Directus asks for would be compiled
DATABASE = "directus"
EVENTS = ["items.create", "items.update", "items.delete"]
_OPTIONS = ("-c", "fsync=off", "-c", "full_page_writes=off", "-c", "listen_addresses=127.0.0.1")


class Directus(Peer):
    """`api` is its REST API, as the administrator uses it. The hub has a user and a token of its own."""

    name = "directus"
    api: JsonApi

    def __init__(self, run_folder: Path, port: int | None = None) -> None:
        super().__init__(run_folder, port)
        self.token, self.hub_token = new_secret(), new_secret()
        self._database: ServerProcess | None = None
        self._database_port = free_port()
        self._cluster: Path | None = None

    def installation_inputs(self) -> str:
        return f"{PACKAGES} {OVERRIDES} {self.node()} 1"

    def install(self, installed: Path) -> None:
        self.install_node_packages(installed, PACKAGES, **OVERRIDES)

    def prepare(self, template: Path) -> None:
        self._start_database()
        template.mkdir()
        bootstrap = [self.node(), self._program(), "bootstrap"]
        self.run(bootstrap, 240, cwd=self.run_folder, env=self._variables())
        dump = [self._database_program("pg_dump"), "--no-owner", "--file", str(template / "directus.sql")]
        self.run([*dump, *self._database_options(), DATABASE])

    def restore(self, template: Path) -> None:
        if self._database is None:
            self._start_database()
            psql = [self._database_program("psql"), "--quiet", "--set", "ON_ERROR_STOP=1"]
            self.run([*psql, *self._database_options(), "--file", str(template / "directus.sql"), DATABASE])

    def server_command(self) -> tuple[list[str], dict[str, str]]:
        return [self.node(), self._program(), "start"], self._variables()

    def is_ready(self) -> bool:
        return JsonApi(self.url, {}).send("GET", "/server/ping").ok

    def close(self) -> None:
        super().close()
        database, self._database = self._database, None
        if database is not None:
            database.stop()
        if self._cluster is not None:
            shutil.rmtree(self._cluster, ignore_errors=True)

    def seed(self) -> None:
        """Give the administrator and the hub tokens, and create the collections that stand for a CRM."""
        self._take_token()
        role = self.api.call("GET", "/users/me?fields=role")["data"]["role"]
        hub = {"email": "hub@example.org", "first_name": "Hub", "role": role, "token": self.hub_token}
        self.hub_user = self.create("/users", hub)
        text = {"type": "string", "meta": {}}
        key = {"field": "id", "type": "string", "schema": {"is_primary_key": True, "length": 64}, "meta": {}}
        email = {
            "field": "email",
            "type": "string",
            "schema": {"is_unique": True, "is_nullable": False, "length": 255},
            "meta": {"required": True, "validation": {"email": {"_regex": "^[^@ ]+@[^@ ]+\\.[^@ ]+$"}}},
        }
        status = {"field": "status", "type": "string", "schema": {"default_value": "active"}, "meta": {}}
        names = [{"field": name, "schema": {"length": 120}, **text} for name in ("first_name", "last_name")]
        self._create_collection("customers", [key, email, status, *names])
        members = {"field": "members", "type": "json", "schema": {}, "meta": {"special": ["cast-json"]}}
        self._create_collection(
            "segments", [key, {"field": "name", "schema": {"length": 120}, **text}, members]
        )
        self.create("/items/customers", {"id": "seeded", "email": "seeded@example.org"})
        self.create("/items/segments", {"id": "seeded", "name": "Seeded", "members": ["seeded"]})

    def shell_variables(self) -> dict[str, str]:
        return {
            "DIRECTUS": self.url,
            "DIRECTUS_PASSWORD": self._password(),
            "DIRECTUS_TOKEN": self.token,
            "DIRECTUS_HUB_TOKEN": self.hub_token,
        }

    def as_hub(self) -> JsonApi:
        """Return the API as the hub uses it."""
        return JsonApi(self.url, {"Authorization": f"Bearer {self.hub_token}"})

    def create(self, path: str, body: dict[str, Any]) -> str:
        """Create a user, role or record and return its id."""
        return str(self.api.call("POST", path, body)["data"]["id"])

    def create_user(self, given: str, family: str, email: str, **fields: Any) -> str:
        """Create a user and return their id."""
        return self.create("/users", {"email": email, "first_name": given, "last_name": family, **fields})

    def change_users(self, user_ids: list[str], **fields: Any) -> None:
        """Change these users by one request."""
        self.api.call("PATCH", "/users", {"keys": user_ids, "data": fields})

    def delete_user(self, user_id: str) -> None:
        self.api.call("DELETE", f"/users/{user_id}")

    def find_record(self, collection: str, record_id: str) -> dict[str, Any] | None:
        """Return a record of a collection; None if there is none."""
        query = {"filter[id][_eq]": record_id}
        records = self.api.call("GET", f"/items/{collection}", params=query)["data"]
        return records[0] if records else None

    def add_flow(self, name: str, url: str, collections: list[str], secret: str, body: str) -> str:
        """Create a flow that posts `body` to the hub after each change of these collections. Returns its id."""
        options = {"type": "action", "scope": EVENTS, "collections": collections}
        flow = {
            "name": name,
            "status": "active",
            "trigger": "event",
            "accountability": "all",
            "options": options,
        }
        flow_id = self.create("/flows", flow)
        headers = [
            {"header": "Content-Type", "value": "application/json"},
            {"header": "X-Hook-Secret", "value": secret},
        ]
        operation = {
            "flow": flow_id,
            "key": "send",
            "type": "request",
            "position_x": 19,
            "position_y": 1,
            "options": {"method": "POST", "url": url, "headers": headers, "body": body},
        }
        self.api.call("PATCH", f"/flows/{flow_id}", {"operation": self.create("/operations", operation)})
        return flow_id

    def wait_for_answers(self, flow_id: str, count: int = 1, seconds: float = 30) -> list[dict[str, Any]]:
        """Return what the receiver of a flow answered, by Directus' own log, newest first: `status` and `data`."""
        query = {"filter[collection][_eq]": "directus_flows", "filter[item][_eq]": flow_id, "sort": "-id"}
        until = time.monotonic() + seconds
        while True:
            revisions = self.api.call(
                "GET", "/revisions", params=query | {"fields": "id,data", "limit": "-1"}
            )["data"]
            answers = [
                one["data"]["data"]["send"] for one in revisions if "send" in one["data"].get("data", {})
            ]
            if len(answers) >= count:
                return answers
            assert time.monotonic() < until, f"Directus has {len(answers)} answers of {count}"
            time.sleep(0.1)

    def _create_collection(self, name: str, fields: list[dict[str, Any]]) -> None:
        self.api.call(
            "POST", "/collections", {"collection": name, "schema": {}, "meta": {}, "fields": fields}
        )

    def _take_token(self) -> None:
        """Log in with the password of the template, and set the token of this run."""
        credentials = {"email": "admin@example.org", "password": self._password()}
        login = JsonApi(self.url, {}).call("POST", "/auth/login", credentials)
        short = JsonApi(self.url, {"Authorization": f"Bearer {login['data']['access_token']}"})
        short.call("PATCH", "/users/me", {"token": self.token})
        self.api = JsonApi(self.url, {"Authorization": f"Bearer {self.token}"})

    def _password(self) -> str:
        """Return the administrator's password, made once for each installation."""
        file = self.folder / "password"
        if not file.exists():
            file.write_text(new_secret())
        return file.read_text()

    def _start_database(self) -> None:
        """Start an empty PostgreSQL server in a folder that its user can reach."""
        if _programs_folder() is None:
            raise PeerUnavailable("Directus needs the programs of a PostgreSQL server")
        self._cluster = Path(tempfile.mkdtemp(prefix="hub-peers-postgresql-"))
        user, data = unprivileged_user(self._cluster), self._cluster / "data"
        initdb = [self._database_program("initdb"), "-D", data, "-U", "directus", "-A", "trust", "-E", "UTF8"]
        run_as([*initdb, "--no-sync"], user, self._cluster)
        port = str(self._database_port)
        command = [self._database_program("postgres"), "-D", str(data), "-p", port, "-k", str(self._cluster)]
        self._database = ServerProcess(
            [*command, *_OPTIONS], self._cluster, self.folder / "log" / "database.log", {}, user
        )
        ready = [
            self._database_program("psql"),
            *self._database_options(),
            "--command",
            "SELECT 1",
            "postgres",
        ]
        self.wait_for(lambda: self._exits_with_zero(ready), self._database)
        self.run([self._database_program("createdb"), *self._database_options(), DATABASE])

    def _exits_with_zero(self, command: list[str]) -> bool:
        try:
            return bool(self.run(command))
        except PeerUnavailable:
            return False

    def _database_program(self, name: str) -> str:
        folder = _programs_folder()
        assert folder is not None
        return str(folder / name)

    def _database_options(self) -> list[str]:
        return ["--host", "127.0.0.1", "--port", str(self._database_port), "--username", "directus"]

    def _program(self) -> str:
        return str(self.folder / "installed" / "node_modules" / "directus" / "cli.js")

    def _variables(self) -> dict[str, str]:
        return {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.run_folder),
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "PUBLIC_URL": self.url,
            "KEY": new_secret(),
            "SECRET": new_secret(),
            "DB_CLIENT": "pg",
            "DB_HOST": "127.0.0.1",
            "DB_PORT": str(self._database_port),
            "DB_USER": "directus",
            "DB_PASSWORD": "unused",
            "DB_DATABASE": DATABASE,
            "ADMIN_EMAIL": "admin@example.org",
            "ADMIN_PASSWORD": self._password(),
            "PRESSURE_LIMITER_ENABLED": "false",  # a busy machine would be answered 503
            "TELEMETRY": "false",
            "WEBSOCKETS_ENABLED": "false",
            "IMPORT_IP_DENY_LIST": "",  # flows may call the hub on 127.0.0.1
        }


def _programs_folder() -> Path | None:
    """Return the folder with PostgreSQL's programs: those of this machine, or else those of the wheel."""
    return server_programs() or wheel_programs()
