"""`/live`, `/ready` and `/health` answer a load balancer, which asks an IP address over http and has no session."""

from typing import Any

import pytest
from django.core.management.base import CommandError
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.test.utils import CaptureQueriesContext

from integration_hub.probes import readiness
from tests.support.hub import new_sealing_key
from webhooks.models import Pepper

pytestmark = pytest.mark.django_db

HOSTS = ("10.20.0.7:8000", "[fd00::7]", "evil.example", "<script>")


@pytest.mark.parametrize(("path", "most_statements"), [("/live", 0), ("/ready", 4), ("/health", 1)])
def test_a_probe_is_answered_by_ip_address_without_redirect_session_or_cookie(
    path: str, most_statements: int, settings: Any
) -> None:
    settings.ALLOWED_HOSTS = ["hub.example.com"]
    settings.SECURE_SSL_REDIRECT = True
    for host in HOSTS:
        for method in ("get", "head"):
            with CaptureQueriesContext(connection) as captured:
                answer = getattr(Client(), method)(path, headers={"Host": host})
            assert (answer.status_code, answer["Content-Type"]) == (200, "application/json"), host
            assert answer.content == (b"" if method == "head" else b'{"status": "ok"}')
            assert (answer["Cache-Control"], dict(answer.cookies)) == ("no-store", {})
            assert len(captured) <= most_statements


@pytest.mark.parametrize(
    "path", ["/", "/admin/login/", "/live/", "/livestock", "/webhooks/aurora", "/nothing"]
)
def test_every_other_path_refuses_a_host_that_is_not_allowed(path: str, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["hub.example.com"]
    assert Client().get(path, headers={"Host": "10.20.0.7"}).status_code == 400


def test_only_probes_and_webhooks_are_not_redirected_to_https(settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert {Client().get(path).status_code for path in ("/live/", "/healthy", "/readyness", "/admin/")} == {
        301
    }


def unready(**headers: str) -> str:
    """Return the reason in the answer of /ready, which is nothing else."""
    answer = Client().get("/ready", headers=headers)
    assert (answer.status_code, answer["Cache-Control"]) == (503, "no-store")
    document = answer.json()
    assert document == {"status": "unready", "reason": document["reason"]}
    return str(document["reason"])


def test_a_process_without_its_database_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OperationalError("canary: connection refused")

    monkeypatch.setattr(readiness, "read_clock", fail)
    assert unready() == "database"
    assert Client().get("/live").status_code == 200


def test_a_process_with_another_schema_is_not_ready() -> None:
    MigrationRecorder(connection).record_applied("sync", "0099_newer")
    assert unready() == "schema"


def test_a_process_whose_database_has_no_tables_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pepper._meta, "db_table", "webhooks_absent")
    assert unready() == "schema"


def test_a_process_whose_restore_has_not_ended_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise CommandError("A restore of this database did not finish.")

    monkeypatch.setattr(readiness, "check_schema", refuse)
    assert unready() == "schema"


def test_a_process_that_lacks_the_encryption_key_is_not_ready(settings: Any) -> None:
    settings.SEALING_KEYS = [new_sealing_key()]
    assert unready() == "keys"
