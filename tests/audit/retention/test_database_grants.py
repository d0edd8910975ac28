"""The role that runs the hub on PostgreSQL can do its work, and cannot change the audit log."""

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.support.hub import EXAMPLE
from tests.support.processes.hub_processes import ROOT, WITH_WORKERS, RunningHub, running_hub

pytestmark = pytest.mark.concurrent

ACK = EXAMPLE[:-1] + b',"respond":"ack"}'
FORBIDDEN = [
    "UPDATE audit_entry SET details = details",
    "UPDATE audit_entry SET leaf = NULL",
    "DELETE FROM audit_entry",
    "TRUNCATE audit_entry",
    "ALTER TABLE audit_entry DISABLE TRIGGER ALL",
    "DROP TRIGGER audit_entry_no_change ON audit_entry",
    "CREATE OR REPLACE FUNCTION audit_entry_insert_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN OLD; END $$",
    "SET session_replication_role = replica",
    "DROP TABLE audit_entry",
    "UPDATE audit_segment SET root = root",
    "DELETE FROM audit_segment",
    "UPDATE audit_checkpoint SET root = root",
    "DELETE FROM audit_publishedcheckpoint",
    "UPDATE audit_verification SET faults = 0",
    "UPDATE audit_signingkey SET public = public",
    "DELETE FROM audit_signingkey",
    "INSERT INTO audit_cut VALUES (1, 1, 1, 0)",
    "UPDATE audit_stub SET seq = 1",
    "DELETE FROM django_migrations",
    "CREATE TABLE audit_other (id int)",
]


def test_only_postgresql_has_roles(database: None) -> None:
    if connection.vendor == "postgresql":
        with pytest.raises(CommandError, match="no role"):
            call_command("grant_rights", "--role", "nobody-at-all", "--execute")
        owner = connection.settings_dict["USER"]
        with pytest.raises(CommandError, match="superuser or owns"):
            call_command("grant_rights", "--role", owner, "--execute")
    else:
        with pytest.raises(CommandError, match="Only PostgreSQL"):
            call_command("grant_rights", "--role", "hub_app")


@pytest.fixture
def role(tmp_path: Path) -> Iterator[str]:
    name = f"hub_app_{secrets.token_hex(4)}"
    if os.environ.get("HUB_TEST_DATABASE") != "postgresql":
        yield name
        return
    from tests.support.database import postgresql

    with psycopg.connect(postgresql.url(), autocommit=True) as link:
        link.execute(f"CREATE ROLE {name} LOGIN")
        yield name
        link.execute(f"DROP ROLE IF EXISTS {name}")


@pytest.mark.only_postgresql
def test_a_role_that_can_change_the_log_through_public_is_refused(database: None, role: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("GRANT UPDATE ON audit_entry TO PUBLIC")
        with pytest.raises(CommandError, match=f"{role} has UPDATE on audit_entry through PUBLIC"):
            call_command("grant_rights", "--role", role, "--execute")
        cursor.execute("SELECT has_table_privilege(%s, 'audit_entry', 'INSERT')", [role])
        assert cursor.fetchone() == (False,), "nothing was changed"
        transaction.set_rollback(True)


@pytest.mark.nightly
def test_the_role_runs_the_hub_and_changes_nothing_of_the_log(
    _services: tuple[IdentityService, ShopService],  # noqa: PT019 - its value is what is asked for
    tmp_path: Path,
    role: str,
) -> None:
    with running_hub(tmp_path, *_services) as hub:
        if not hub.database.startswith("postgres"):
            return
        try:
            hub.kill()
            hub.manage("grant_rights", "--role", role, "--execute")
            as_role = as_user(hub, role)
            as_role.start()
            try:
                main_job(as_role)
            finally:
                as_role.kill()
            assert not allowed(as_role.environment["DATABASE_URL"])
        finally:
            with psycopg.connect(hub.database, autocommit=True) as owner:
                owner.execute(f"DROP OWNED BY {role}")


def as_user(hub: RunningHub, role: str) -> RunningHub:
    parts = urlsplit(hub.environment["DATABASE_URL"])
    url = urlunsplit(parts._replace(netloc=f"{role}@{parts.netloc.rpartition('@')[2]}"))
    return RunningHub(hub.database, hub.environment | {"DATABASE_URL": url, **WITH_WORKERS})


def main_job(hub: RunningHub) -> None:
    """Webhooks with an outcome and without, a worker that delivers and seals, a look at the whole log."""
    assert json.loads(hub.send_signed(EXAMPLE, "msg-rights-1").body)["status"]
    assert hub.send_signed(ACK, "msg-rights-2").status == 202
    worker = subprocess.Popen([sys.executable, "manage.py", "run_worker"], cwd=ROOT, env=hub.environment)
    try:
        wait(hub, "SELECT count(*) = 2 FROM webhooks_event WHERE state IN ('succeeded', 'unchanged')")
        wait(hub, "SELECT coalesce(sum(count), 0) >= 6 FROM audit_segment")
        wait(hub, "SELECT count(*) >= 2 FROM sync_periodictask")
    finally:
        worker.terminate()
        assert worker.wait(timeout=60) == 0
    hub.manage("rotate_signing_key")
    assert "Verified up to segment" in hub.manage("verify_audit")


def wait(hub: RunningHub, question: str) -> None:
    until = time.monotonic() + 60
    while not hub.rows(question)[0][0]:
        assert time.monotonic() < until, question
        time.sleep(0.1)


def allowed(url: str) -> list[str]:
    """Return the forbidden statements that this role may run; all of them are rolled back."""
    found = []
    with psycopg.connect(url) as link:
        for statement in FORBIDDEN:
            try:
                link.execute(statement)
                found.append(statement)
            except psycopg.errors.InsufficientPrivilege:
                pass
            except psycopg.errors.RaiseException:  # a trigger: the right itself is there
                found.append(statement)
            finally:
                link.rollback()
    return found
