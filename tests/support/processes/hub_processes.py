"""The hub as real processes: gunicorn as the Procfile starts it, with its own database, which a test can kill."""

import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
from django.test import override_settings

from database.encryption.at_rest import BoundRow
from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from sync.deliveries.claims import claim_delivery
from sync.deliveries.expired_leases import release_delivery
from sync.deliveries.predicates import ISOLATION_DEATHS
from sync.models import Connection, Delivery
from tests.support.database.template_database import migrated_database
from tests.support.hub import SIGNING_SECRET, signature_headers, wait_until_quiet
from tests.support.processes.ports import free_port
from webhooks.models import Source, SourceSecret, State

ROOT = Path(__file__).resolve().parents[3]
# In the environment of a process: what it defers is left to workers, as in production (see `tests.support.settings`).
WITH_WORKERS = {"DJANGO_SETTINGS_MODULE": "tests.support.processes.worker_settings"}
LONG_AGO = "2020-01-01T00:00:00Z"
JSON = {"Content-Type": "application/json"}
SANDBOX = {
    "SANDBOX_IDENTITY_TOKEN": "identity-token",
    "SANDBOX_SHOP_TOKEN": "shop-token",
    "SANDBOX_SIGNING_SECRET": SIGNING_SECRET,
}


@dataclass(frozen=True)
class Reply:
    """An HTTP answer as it was received."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


@dataclass
class RunningHub:
    """One hub in its own process group. `database` is a file or the URL of a PostgreSQL database.

    `worker_class` replaces the one of the Procfile; `log` is a file that gets what the processes print.
    """

    database: str
    environment: dict[str, str]
    port: int = field(default_factory=lambda: free_port())
    process: subprocess.Popen[bytes] | None = None
    worker_class: str = ""
    log: Path | None = None

    def start(self) -> None:
        """Start the web process of the Procfile and wait until it answers."""
        line = re.search(r"^web: (.+)$", (ROOT / "Procfile").read_text(), re.MULTILINE)
        assert line, "the Procfile has no web process"
        command = line[1]
        if self.worker_class:
            command = re.sub(r"--worker-class \S+", f"--worker-class {self.worker_class}", command)
        environment = self.environment | {"HUB_PORT": str(self.port)}
        with (self.log or Path(os.devnull)).open("ab") as log:
            output = log if self.log else None
            self.process = subprocess.Popen(
                ["sh", "-c", f"exec {command}"],
                cwd=ROOT, env=environment, start_new_session=True, stdout=output, stderr=output,
            )  # fmt: skip
        until = time.monotonic() + 90
        while not self._is_healthy():
            assert self.process.poll() is None, "the hub ended at its start"
            assert time.monotonic() < until, "the hub does not answer"
            time.sleep(0.05)

    def kill(self) -> None:
        """Send SIGKILL to the whole process group and wait for its end."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def manage(self, *arguments: str) -> str:
        """Run `manage.py` against the same database. Returns what it printed; fails unless it exits with 0."""
        command = [sys.executable, "manage.py", *arguments]
        result = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=180
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def send(
        self, body: bytes | Iterator[bytes], path: str = "/webhooks/aurora-unsigned", **headers: str
    ) -> Reply:
        """Send a POST request over a new connection. An iterator is sent in chunks, without a length."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=40)
        try:
            connection.request("POST", path, body, JSON | headers, encode_chunked=not isinstance(body, bytes))
            answer = connection.getresponse()
            return Reply(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def send_signed(self, body: bytes, webhook_id: str) -> Reply:
        return self.send(body, "/webhooks/aurora", **signature_headers(body, webhook_id))

    def raw(self, request: bytes) -> Reply:
        """Send exactly these bytes over a socket, for requests that no client library would send."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as link:
            link.sendall(request)
            answer = http.client.HTTPResponse(link, method=request.split(b" ", 1)[0].decode())
            answer.begin()
            return Reply(answer.status, answer.headers, answer.read())

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Query the hub's database directly."""
        if self.database.startswith("postgres"):
            with psycopg.connect(self.database) as link:
                return list(link.execute(query))
        link = sqlite3.connect(self.database)
        try:
            return list(link.execute(query))
        finally:
            link.close()

    def write(self, statement: str) -> None:
        """Change the hub's database directly."""
        if self.database.startswith("postgres"):
            with psycopg.connect(self.database) as link:
                link.execute(statement)
            return
        with closing(sqlite3.connect(self.database)) as link, link:
            link.execute(statement)

    def _is_healthy(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


@contextmanager
def joined_hub(
    folder: Path, identity: IdentityService, shop: ShopService, **variables: str
) -> Iterator[RunningHub]:
    """Yield a hub on a new database that is connected to the two services and not started."""
    with migrated_database(folder, SANDBOX) as (database, url):
        environment = os.environ | {
            "DATABASE_URL": url,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            **SANDBOX,
            **variables,
        }
        hub = RunningHub(database, environment)
        _connect(hub, "aurora", identity.url, {"token": SANDBOX["SANDBOX_IDENTITY_TOKEN"]})
        _connect(hub, "shop", shop.url, {"token": SANDBOX["SANDBOX_SHOP_TOKEN"]})
        yield hub


def _connect(hub: RunningHub, slug: str, url: str, credentials: dict[str, str]) -> None:
    """Give a connection another base URL, and the credentials that are entered for it."""
    [(key, authentication)] = hub.rows(
        f"SELECT uuid, authentication FROM sync_connection WHERE slug = '{slug}'"
    )
    document = json.loads(authentication) if isinstance(authentication, str) else authentication
    connection = Connection(uuid=UUID(str(key)), base_url=url, authentication=document)
    literal = _encrypt_for(hub, connection, "credentials", credentials)
    hub.write(f"UPDATE sync_connection SET base_url = '{url}', credentials = {literal} WHERE slug = '{slug}'")


def enter_secret(hub: RunningHub, slug: str, value: str) -> None:
    """Give a source this secret alone, for the scheme that it has now."""
    [(key, scheme)] = hub.rows(f"SELECT id, scheme FROM webhooks_source WHERE slug = '{slug}'")
    secret = SourceSecret(uuid=uuid4(), source=Source(pk=key, scheme=scheme))
    stored_uuid = secret.uuid if hub.database.startswith("postgres") else secret.uuid.hex
    literal = _encrypt_for(hub, secret, "value", value)
    hub.write(f"DELETE FROM webhooks_sourcesecret WHERE source_id = {key}")
    hub.write(
        "INSERT INTO webhooks_sourcesecret (source_id, uuid, value, hint, created_at) "
        f"VALUES ({key}, '{stored_uuid}', {literal}, '', CURRENT_TIMESTAMP)"
    )


def _encrypt_for(hub: RunningHub, row: BoundRow, field: str, value: Any) -> str:
    """Return the SQL literal of a value that is encrypted for a row with the hub's key."""
    with override_settings(SEALING_KEYS=hub.environment["SEALING_KEYS"].split(",")):
        encrypted = type(row)._meta.get_field(field).encrypt_for(row, value).encrypted.hex()
    return f"'\\x{encrypted}'" if hub.database.startswith("postgres") else f"x'{encrypted}'"


@contextmanager
def running_hub(
    folder: Path, identity: IdentityService, shop: ShopService, **variables: str
) -> Iterator[RunningHub]:
    """Yield a started hub on a new database, connected to the two services; kill it at the end."""
    with joined_hub(folder, identity, shop, **variables) as hub:
        try:
            hub.start()
            yield hub
        finally:
            hub.kill()


def claim_last_isolated_attempt(delivery: Delivery) -> None:
    """Claim a delivery whose processes died twice, in its own process: one more death fails it."""
    Delivery.objects.filter(pk=delivery.pk).update(
        state=State.RETRYING, deaths=ISOLATION_DEATHS, due_at=LONG_AGO, settled_at=None
    )
    assert claim_delivery(delivery.pk, in_own_process=True)


def expire_lease(pk: int) -> None:
    """Expire the lease of a delivery and release it in this thread, as if its process had died."""
    wait_until_quiet()
    Delivery.objects.filter(pk=pk).update(lease_until=LONG_AGO)
    assert release_delivery(Delivery.objects.get(pk=pk))
