"""A restored hub is the one that was backed up, except that nothing is sent and whoever was erased since stays erased."""

import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tests.support.database import postgresql
from tests.support.database.template_database import is_postgresql, migrated_database
from tests.support.processes.hub_processes import SANDBOX

pytestmark = [pytest.mark.nightly, pytest.mark.concurrent]

ROOT = Path(__file__).resolve().parents[3]
_PEOPLE = """
import django; django.setup()
from tests.support.builders.erasure import *
first, second = invented_person(1), invented_person(2)
"""
_STORE = _PEOPLE + "store_people([first, second])"
_ERASE = _PEOPLE + "confirmed_erasure(first); erase_confirmed()"
_COME_BACK = _PEOPLE + "store_people([first])"
_LOOK = _PEOPLE + (
    "from webhooks.models import Source\n"
    "found = [bool(find_in_tables([person]) - {'sync_erasure.reason'}) for person in (first, second)]\n"
    "from sync.models import Connection\n"
    "assert {row.credentials['token'] for row in Connection.objects.all()} == {'identity-token', 'shop-token'}\n"
    "assert all(secret.fits_scheme for source in Source.objects.all() for secret in source.secrets.all())\n"
    "print(found, Source.objects.filter(paused_at=None).count(), Source.objects.exclude(paused_at=None).count() > 0)"
)
_KILL = """
import os, sys, django; django.setup()
from django.core.management import call_command
from integration_hub.backups import restore
setattr(restore, sys.argv[1], lambda *a, **k: os._exit(9))
call_command("restore", sys.argv[2], "--erasures", sys.argv[3])
"""


@dataclass(frozen=True, slots=True)
class Site:
    """A hub with two people, its list of erasures and a folder for backups."""

    url: str
    folder: Path

    @property
    def listed(self) -> Path:
        return self.folder / "erasures.jsonl"

    def run(self, *arguments: object, url: str = "") -> "subprocess.CompletedProcess[str]":
        variables = {
            "DJANGO_SETTINGS_MODULE": "tests.support.settings",
            "AUDIT_CHECKPOINT_EMAILS": "auditor@example.com",
            "DATABASE_URL": url or self.url,
            "ERASURE_LIST": str(self.listed),
        }
        return subprocess.run(
            [sys.executable, *map(str, arguments)], cwd=ROOT, env=os.environ | variables,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def manage(self, *arguments: object, url: str = "") -> "subprocess.CompletedProcess[str]":
        return self.run("manage.py", *arguments, url=url)

    def do(self, script: str, url: str = "") -> str:
        ended = self.run("-c", script, url=url)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout.strip()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with migrated_database(tmp_path, SANDBOX) as (_, url):
        site = Site(url, tmp_path)
        site.do(_STORE)
        yield site


@contextmanager
def empty_database(folder: Path) -> Iterator[str]:
    if not is_postgresql():
        yield f"sqlite:///{folder / 'restored.sqlite3'}"
        return
    name = f"hub_restored_{secrets.token_hex(6)}"
    server = postgresql.url()
    with psycopg.connect(server, autocommit=True) as link:
        link.execute(f"CREATE DATABASE {name}")
        try:
            yield f"{server.rpartition('/')[0]}/{name}"
        finally:
            link.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_an_erased_person_does_not_come_back_and_nothing_is_sent(site: Site) -> None:
    backup = site.folder / "one"
    assert site.manage("backup", backup).returncode == 0
    site.do(_ERASE)
    with empty_database(site.folder) as url:
        restored = site.manage("restore", backup, url=url)
        assert restored.returncode == 0, restored.stderr
        assert "Erasures repeated: 1." in restored.stdout
        assert "The audit log has no faults." in restored.stdout
        assert site.do(_LOOK, url) == "[False, True] 0 True"
        assert site.manage("verify_audit", "--log-only", url=url).returncode == 0
        assert site.run("-c", "import integration_hub.wsgi", url=url).returncode == 0
        again = site.manage("restore", backup, url=url)
        assert again.returncode != 0
        assert re.search(r"contains (a database|tables)\.", again.stderr)
        assert site.do(_LOOK, url) == "[False, True] 0 True"


def test_a_person_who_came_back_after_the_erasure_is_not_erased_again(site: Site) -> None:
    site.do(_ERASE)
    site.do(_COME_BACK)
    assert site.manage("backup", site.folder / "one").returncode == 0
    with empty_database(site.folder) as url:
        restored = site.manage("restore", site.folder / "one", url=url)
        assert "Erasures repeated: 0." in restored.stdout, restored.stderr
        assert site.do(_LOOK, url) == "[True, True] 0 True"


def test_a_restore_that_was_killed_leaves_no_database_that_starts(site: Site) -> None:
    backup = site.folder / "one"
    assert site.manage("backup", backup).returncode == 0
    site.do(_ERASE)
    with empty_database(site.folder) as url:
        for place in ("_finish_restore", "delete_marker"):
            assert site.run("-c", _KILL, place, backup, site.listed, url=url).returncode == 9
            for start in (("manage.py", "migrate"), ("-c", "import integration_hub.wsgi")):
                refused = site.run(*start, url=url)
                assert refused.returncode != 0
                assert "A restore of this database did not finish." in refused.stderr
        restored = site.manage("restore", backup, url=url)
        assert restored.returncode == 0, restored.stderr
        assert site.do(_LOOK, url) == "[False, True] 0 True"
        assert site.manage("verify_audit", "--log-only", url=url).returncode == 0


def test_what_does_not_fit_is_refused_before_anything_changes(site: Site) -> None:
    backup = site.folder / "one"
    assert site.manage("backup", backup).returncode == 0
    path = backup / "manifest.json"
    manifest = json.loads(path.read_text())
    [file] = [found for found in backup.iterdir() if found.name.startswith("database")]
    other = "sqlite" if is_postgresql() else "postgresql"
    with empty_database(site.folder) as url:
        missing = site.manage("restore", backup, url=url)
        assert "The list of erasures" in missing.stderr
        assert "--no-erasures" in missing.stderr
        for change, sentence in (
            ({"schema": [*manifest["schema"], "sync.0009_later 00"]}, "made by another version"),
            ({"engine": other}, f"This is a backup of {other}"),
            ({"sha256": "0" * 64}, "was changed or damaged"),
            ({"database_file": "absent"}, "The backup is incomplete"),
        ):
            path.write_text(json.dumps(manifest | change))
            refused = site.manage("restore", backup, "--no-erasures", url=url)
            assert refused.returncode != 0
            assert sentence in refused.stderr
        path.write_text(json.dumps(manifest))
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert "was changed or damaged" in site.manage("restore", backup, "--no-erasures", url=url).stderr
        file.write_bytes(content)
        assert site.manage("restore", backup, "--no-erasures", url=url).returncode == 0


@pytest.mark.only_sqlite
def test_a_file_that_is_replaced_is_kept_and_one_in_use_is_refused(site: Site) -> None:
    import sqlite3

    file = Path(site.url.removeprefix("sqlite:///"))
    assert site.manage("backup", site.folder / "one").returncode == 0
    site.do(_ERASE)
    refused = site.manage("restore", site.folder / "one")
    assert "contains a database" in refused.stderr
    user = sqlite3.connect(file)
    user.execute("SELECT count(*) FROM sqlite_master").fetchone()
    in_use = site.manage("restore", site.folder / "one", "--replace")
    user.close()
    assert "Stop every process of the hub first." in in_use.stderr
    restored = site.manage("restore", site.folder / "one", "--replace")
    assert restored.returncode == 0, restored.stderr
    assert site.do(_LOOK) == "[False, True] 0 True"
    assert len(list(file.parent.glob(f"{file.name}.replaced-*"))) == 1
