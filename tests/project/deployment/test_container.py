"""The commands of the image, with the files, user, variables and limits that its files name, and a real PostgreSQL.

No engine is needed. What only one can show, the build itself and its base image, is not shown: the documentation says so.
"""

import base64
import http.client
import json
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest
from django.test import Client

from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.project.deployment.container import Image, build_image
from tests.project.deployment.files import ROOT, Service, celery_commands, read_service
from tests.support import redis
from tests.support.database import postgresql
from tests.support.hub import EXAMPLE, SIGNING_SECRET, Hub, signature_headers
from tests.support.processes.ports import free_port
from tests.support.processes.workers import wait_until

pytestmark = [pytest.mark.submission, pytest.mark.concurrent, pytest.mark.pure]

HOST = "hub.example.com"
FORWARDED = {"Host": HOST, "X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}


@dataclass
class Deployment:
    """An image whose database is migrated and connected to the two systems. `variables`: those of `.env`."""

    image: Image
    variables: dict[str, str]
    url: str
    systems: Hub
    folder: Path
    port: int

    def service(self, name: str, **variables: str) -> Service:
        """Return a service of compose on this database, on a free port."""
        service = read_service(name, self.variables)
        assert (
            service.environment["DATABASE_URL"]
            == f"postgres://hub:{self.variables['POSTGRES_PASSWORD']}@postgres/hub"
        )
        on_port = [
            [part.replace(":8000", f":{self.port}") for part in parts]
            for parts in (service.command, service.health)
        ]
        environment = service.environment | {"DATABASE_URL": self.url} | variables
        return replace(service, command=on_port[0], health=on_port[1], environment=environment)

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
        """Send a request to the web process at its IP address. Returns status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=40)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def report_change(self, address: str, respond: str = "result") -> tuple[int, str]:
        """Change the address of a person and send the signed webhook. Returns status of the answer and of the event."""
        self.systems.change_email(address)
        body = json.dumps(json.loads(EXAMPLE) | {"respond": respond}).encode()
        headers = FORWARDED | signature_headers(body, f"msg_{secrets.token_hex(8)}")
        status, answer = self.ask(
            "POST", "/webhooks/aurora", body, **headers, **{"Content-Type": "application/json"}
        )
        return status, json.loads(answer)["status"]

    def is_shop_writing(self) -> bool:
        """True once the shop has begun a request that it has not answered yet."""
        return any(entry["ended"] is None for entry in self.systems.writes())


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("deployment")
    image, name = build_image(folder), f"hub_{secrets.token_hex(6)}"
    server = postgresql.url()
    with psycopg.connect(server, autocommit=True) as link:
        link.execute(f"CREATE DATABASE {name}")
    variables = {
        "HUB_HOST": HOST,
        "POSTGRES_PASSWORD": secrets.token_urlsafe(24),
        "SECRET_KEY": secrets.token_urlsafe(50),
        "SEALING_KEYS": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        "METRICS_TOKEN": secrets.token_urlsafe(32),
        "AUDIT_CHECKPOINT_FOLDER": "/srv/hub/var/checkpoints",
        "EGRESS_ALLOW": "public,127.0.0.0/8",
    }
    url = f"{server.rpartition('/')[0]}/{name}"
    with IdentityService(secret=SIGNING_SECRET) as identity, ShopService() as shop:
        made = Deployment(image, variables, url, Hub(identity, shop, Client()), folder, free_port())
        migrate = made.service("migrate")
        migrated = image.run(migrate.command, migrate.environment)
        assert migrated.returncode == 0, migrated.stderr
        _seed(made)
        yield made
    with psycopg.connect(server, autocommit=True) as link:
        link.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _seed(deployment: Deployment) -> None:
    """Connect the hub to the two systems: with the developers' command, which is not in the image."""
    systems = {
        "SANDBOX_IDENTITY_PORT": str(deployment.systems.identity.port), "SANDBOX_IDENTITY_TOKEN": "identity-token",
        "SANDBOX_SHOP_PORT": str(deployment.systems.shop.port), "SANDBOX_SHOP_TOKEN": "shop-token",
        "SANDBOX_SIGNING_SECRET": SIGNING_SECRET, "HUB_ENV_FILE": os.devnull, "PATH": os.environ["PATH"],
    }  # fmt: skip
    command = [
        sys.executable,
        "-m",
        "devtools",
        "seed_sandbox",
        "--allow-demo-logins",
        "--logins",
        os.devnull,
    ]
    environment = deployment.service("web").environment | systems
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, timeout=120)


def test_the_documented_settings_pass_the_checks_of_a_deployment(deployment: Deployment) -> None:
    command = ["python", "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    checked = deployment.image.run(command, deployment.service("web").environment)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "no issues" in checked.stdout


def test_web_and_worker_deliver_and_end_their_work_when_they_are_stopped(deployment: Deployment) -> None:
    image, log, systems = deployment.image, deployment.folder / "log", deployment.systems
    with (
        image.start(deployment.service("web"), log) as web,
        image.start(deployment.service("worker"), log) as worker,
    ):
        web.wait_until_healthy()
        worker.wait_until_healthy()
        assert deployment.ask("GET", "/live") == deployment.ask("GET", "/ready") == (200, b'{"status": "ok"}')
        assert deployment.ask("GET", "/admin/login/")[0] == 400, "only probes are answered by IP address"
        assert deployment.ask("GET", "/static/console/console.css", **FORWARDED)[0] == 200
        assert deployment.report_change("anna.first@example.com") == (200, "succeeded")
        assert systems.customer()["email"] == "anna.first@example.com"
        bearer = {"Authorization": f"Bearer {deployment.variables['METRICS_TOKEN']}"}
        assert b"hub_build_info" in deployment.ask("GET", "/metrics", **bearer)[1]

        systems.shop.faults.add("slow", seconds=3, methods=["PATCH", "PUT"], times=2)
        assert deployment.report_change("anna.next@example.com", "ack") == (202, "accepted")
        wait_until(deployment.is_shop_writing, 20)
        assert worker.stop() == 0
        assert systems.customer()["email"] == "anna.next@example.com"

        answers: list[tuple[int, str]] = []
        sender = threading.Thread(
            target=lambda: answers.append(deployment.report_change("anna.last@example.com"))
        )
        sender.start()
        wait_until(deployment.is_shop_writing, 20)
        assert web.stop() == 0
        sender.join(30)
        assert answers == [(200, "succeeded")]
        assert systems.customer()["email"] == "anna.last@example.com"
    for refusal in ("Read-only file system", "Permission denied", "checkpoint was not sent"):
        assert refusal not in log.read_text()


def test_celery_runs_from_the_same_image(deployment: Deployment) -> None:
    """Its worker delivers what a webhook left, its beat makes its rounds, and both end when they are stopped."""
    image, log, commands = deployment.image, deployment.folder / "celery.log", celery_commands()
    with redis.redis_server() as (broker, _):
        service = deployment.service("worker", CELERY_BROKER_URL=broker)
        with (
            image.start(deployment.service("web", CELERY_BROKER_URL=broker), log) as web,
            image.start(replace(service, command=commands["worker"]), log) as worker,
            image.start(replace(service, command=commands["beat"]), log) as beat,
        ):
            for container in (web, worker, beat):
                container.wait_until_healthy()
            assert deployment.report_change("anna.celery@example.com", "ack") == (202, "accepted")
            wait_until(lambda: deployment.systems.customer()["email"] == "anna.celery@example.com", 20)
            assert [beat.stop(), worker.stop(), web.stop()] == [0, 0, 0]
