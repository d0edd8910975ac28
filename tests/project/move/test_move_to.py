"""`move_to` refuses what does not fit before the hub stops, goes on after each interruption, and leaves the schema of
`migrate`. The test under load is `tests/faults/test_move.py`.
"""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from database.move_refusal import REFUSAL
from tests.support.database.empty_postgresql import empty_postgresql
from tests.support.database.template_database import migrated_database
from tests.support.processes.hub_processes import SANDBOX

pytestmark = [pytest.mark.only_sqlite, pytest.mark.submission, pytest.mark.concurrent]

ROOT = Path(__file__).resolve().parents[3]
PASSWORD = "moved-Password-91"
_KILL = """
import os, sys, django; django.setup()
from django.core.management import call_command
from integration_hub.move import move
from integration_hub.move.target import Target
where, name = {"move": move, "target": Target}[sys.argv[1]], sys.argv[2]
original = getattr(where, name)
def die(*args, **kwargs):
    original(*args, **kwargs) if sys.argv[3] == "after" else None
    os._exit(9)
setattr(where, name, die)
call_command("move_to", sys.argv[4], "--accept-faults")
"""
_SCHEMA = """
SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT concat(relkind, ' ', relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace
ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Old:
    """A hub on SQLite with a generated history, which has no audit entries."""

    file: str
    url: str

    def run(self, *arguments: object, url: str = "") -> "subprocess.CompletedProcess[str]":
        variables = {
            "DJANGO_SETTINGS_MODULE": "tests.support.settings",
            "AUDIT_CHECKPOINT_EMAILS": "auditor@example.com",
            "DATABASE_URL": url or self.url,
        }
        ended = subprocess.run(
            [sys.executable, *map(str, arguments)], cwd=ROOT, env=os.environ | variables,
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert PASSWORD not in ended.stdout + ended.stderr
        return ended

    def move(self, url: str, *options: str) -> "subprocess.CompletedProcess[str]":
        return self.run("manage.py", "move_to", url, *options)

    def kill(self, where: str, name: str, when: str, url: str) -> None:
        assert self.run("-c", _KILL, where, name, when, url).returncode == 9

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.file)) as link, link:
            return link.execute(statement).fetchall()

    def is_moving(self) -> bool:
        return bool(self.sql("SELECT 1 FROM sqlite_master WHERE name = 'hub_move'"))


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Old]:
    with migrated_database(tmp_path, SANDBOX) as (file, url):
        old = Old(file, url)
        made = old.run("-m", "devtools", "generate_history", "--events", "300")
        assert made.returncode == 0, made.stderr
        yield old


def on_target(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as link:
        return link.execute(query).fetchall()


def test_what_does_not_fit_is_named_before_the_hub_stops(old: Old) -> None:
    with_password = f"postgres://hub:{PASSWORD}@127.0.0.1:9/hub"
    assert "The target cannot be reached" in old.move(with_password).stderr
    assert "The target must be like postgres://" in old.move(f"mysql://hub:{PASSWORD}@localhost/hub").stderr
    [[row, entity_type]] = old.sql("SELECT id, entity_type FROM webhooks_event ORDER BY id DESC LIMIT 1")
    old.sql(f"UPDATE webhooks_event SET entity_type = '{'X' * 70}' WHERE id = {row}")
    with empty_postgresql() as url:
        refused = old.move(url)
        assert f"webhooks_event, row {row}: entity_type has 70 characters" in refused.stderr
        assert not old.is_moving()
        old.sql(f"UPDATE webhooks_event SET entity_type = '{entity_type}' WHERE id = {row}")
        estimated = old.move(url, "--estimate")
        assert "rows fit into the target. The move takes about" in estimated.stdout
        assert not old.is_moving()
        assert "A move into this database did not finish" in old.run("manage.py", "migrate", url=url).stderr
        with psycopg.connect(url) as link:
            link.execute("DROP TABLE hub_move_target")
        assert "The target is not empty: it holds" in old.move(url).stderr
        assert not old.is_moving()


def test_a_move_goes_on_after_each_kill_and_ends_once(old: Old) -> None:
    """The sequences and the schema are looked at here alone."""
    [[last]] = old.sql("SELECT max(id) FROM sync_call")
    old.sql(f"DELETE FROM sync_call WHERE id = {last}")
    with empty_postgresql() as url, empty_postgresql() as other:
        old.kill("target", "prepare", "after", url)
        old.kill("move", "begin_move", "after", url)
        assert old.is_moving()
        assert "is being moved to another database" in old.run("manage.py", "migrate").stderr
        old.kill("target", "note_batch", "before", url)
        old.kill("target", "note_copied", "before", url)
        old.kill("target", "create_postponed", "before", url)
        faulty = old.move(url)
        assert "verify_audit finds these faults in the target" in faulty.stderr
        assert "Copied 0 rows" in faulty.stdout
        old.kill("target", "finish", "before", url)
        assert "This hub has moved to" in old.run("-c", "import integration_hub.wsgi").stderr
        assert "This move has ended" in old.run("manage.py", "move_to", "--undo").stderr
        ended = old.move(url)
        assert "The move had ended already; the target is usable now." in ended.stdout, ended.stderr
        assert "has moved to" in old.move(url).stderr
        assert "has moved to" in old.move(other).stderr
        with pytest.raises(sqlite3.IntegrityError, match=REFUSAL):
            old.sql("DELETE FROM sync_call")
        assert old.run("-c", "import integration_hub.wsgi", url=url).returncode == 0
        assert on_target(url, "SELECT nextval('sync_call_id_seq')") == [(last + 1,)]
        assert old.run("manage.py", "migrate", url=other).returncode == 0
        assert on_target(url, _SCHEMA) == on_target(other, _SCHEMA)


def test_a_move_that_is_given_up_leaves_a_hub_that_stores_again(old: Old) -> None:
    before = old.sql("SELECT count(*) FROM sqlite_master")
    with empty_postgresql() as url:
        old.kill("target", "create_postponed", "before", url)
        with pytest.raises(sqlite3.IntegrityError, match=REFUSAL):
            old.sql("DELETE FROM sync_call")
        assert "The move was given up." in old.run("manage.py", "move_to", "--undo").stdout
        assert old.sql("SELECT count(*) FROM sqlite_master") == before
        old.sql("DELETE FROM sync_call")
        assert "holds rows of a move that was given up" in old.move(url).stderr
        assert "No move of this database has begun." in old.run("manage.py", "move_to", "--undo").stderr
