"""A backup of a running hub is one state of the database, verified, private and never overwritten."""

import hashlib
import json
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from audit.models import Entry
from integration_hub.backups import backup, postgresql_programs
from integration_hub.backups.manifest import Manifest, read_manifest
from integration_hub.management.commands import backup as backup_command
from tests.support.database.template_database import migrated_database

pytestmark = pytest.mark.concurrent
ROOT = Path(__file__).resolve().parents[3]
VARIABLES = {
    "DJANGO_SETTINGS_MODULE": "integration_hub.settings",
    "AUDIT_CHECKPOINT_EMAILS": "auditor@example.com",
}


def manage(url: str, *arguments: object, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | VARIABLES | {"DATABASE_URL": url} | variables
    command = [sys.executable, "manage.py", *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with migrated_database(tmp_path) as (_, url):
        yield url


@pytest.mark.nightly
def test_a_backup_is_private_complete_and_described_by_its_manifest(url: str, tmp_path: Path) -> None:
    folder = tmp_path / "backups" / "first one"
    made = manage(url, "backup", folder)
    assert (made.returncode, made.stderr) == (0, "")
    assert "The copy is readable, and its audit log has no faults." in made.stdout
    manifest = read_manifest(folder)
    file = folder / manifest.database_file
    assert {path.name for path in folder.iterdir()} == {file.name, "manifest.json"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert hashlib.sha256(file.read_bytes()).hexdigest() == manifest.sha256
    assert (manifest.audit_is_whole, manifest.rows["django_migrations"] > 20) == (True, True)
    assert not list(folder.parent.glob("*.unfinished"))
    content = b"".join(path.read_bytes() for path in folder.iterdir())
    for secret in (os.environ["SECRET_KEY"], os.environ["SEALING_KEYS"]):
        assert secret.encode() not in content

    read = "from audit.models import Entry; print(Entry.objects.get(action='database.backed-up').details)"
    recorded = json.loads(manage(url, "shell", "-v", "0", "-c", read).stdout)
    assert recorded == {"audit_is_whole": True, "made_at": manifest.made_at, "sha256": manifest.sha256}

    again = manage(url, "backup", folder)
    assert (again.returncode != 0, "already exists" in again.stderr) == (True, True)
    assert hashlib.sha256(file.read_bytes()).hexdigest() == manifest.sha256


@pytest.mark.nightly
def test_a_half_written_backup_is_neither_used_nor_written_into(url: str, tmp_path: Path) -> None:
    unfinished = tmp_path / "one.unfinished"
    unfinished.mkdir()
    (unfinished / "database.sqlite3").write_bytes(b"half")
    refused = manage(url, "backup", tmp_path / "one")
    assert refused.returncode != 0
    assert "one was interrupted" in refused.stderr
    assert not (tmp_path / "one").exists()
    assert (unfinished / "database.sqlite3").read_bytes() == b"half"
    with pytest.raises(CommandError, match="not a finished backup"):
        read_manifest(unfinished)


@pytest.mark.nightly
@pytest.mark.only_sqlite
def test_a_damaged_database_leaves_no_backup(url: str, tmp_path: Path) -> None:
    file = Path(url.removeprefix("sqlite:///"))
    with closing(sqlite3.connect(file)) as link:
        link.execute("PRAGMA journal_mode=DELETE")
        page, size = link.execute("SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_master "
                                  "WHERE name = 'django_migrations'").fetchone()  # fmt: skip
    with file.open("r+b") as opened:
        opened.seek((page - 1) * size)
        opened.write(b"\xff" * size)
    assert manage(url, "backup", tmp_path / "one").returncode != 0
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("one")]


def make_program(folder: Path, version: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "pg_dump"
    program.write_text(f"#!/bin/sh\necho 'pg_dump (PostgreSQL) {version}'\n")
    program.chmod(0o700)
    return str(program)


@pytest.mark.pure
def test_the_programs_that_fit_the_server_are_found_wherever_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_path, versions = tmp_path / "bin", tmp_path / "postgresql"
    monkeypatch.setenv("PATH", str(in_path))
    monkeypatch.setattr(postgresql_programs, "VERSIONS_FOLDER", versions)
    server = type("S", (), {"pg_version": 160_004})
    monkeypatch.setattr(postgresql_programs, "connections", {"default": server})
    with pytest.raises(CommandError, match=r"pg_dump was not found\. Install PostgreSQL's client programs"):
        postgresql_programs.find_program("pg_dump")
    make_program(in_path, "15.9")
    with pytest.raises(CommandError, match=r"is version 15, but the server is 16\. Install"):
        postgresql_programs.find_program("pg_dump")
    newer = make_program(versions / "17" / "bin", "17.2")
    assert postgresql_programs.find_program("pg_dump") == newer
    equal = make_program(versions / "16" / "bin", "16.1")
    assert postgresql_programs.find_program("pg_dump") == equal
    assert make_program(in_path, "16.0") == postgresql_programs.find_program("pg_dump")


@pytest.mark.only_sqlite
@pytest.mark.parametrize("is_writing", [False, True])
def test_a_copy_is_the_last_commit_whole_and_waits_for_no_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_writing: bool
) -> None:
    """The last commits are in the write-ahead log alone, and a writer may be in the middle of the next one."""
    live = tmp_path / "live.sqlite3"
    with closing(sqlite3.connect(live, isolation_level=None)) as link:
        link.execute("PRAGMA journal_mode=WAL")
        link.execute("PRAGMA wal_autocheckpoint=0")
        link.execute("CREATE TABLE pair (half INTEGER)")
        link.execute("INSERT INTO pair (half) VALUES (1), (2)")
        if is_writing:
            link.execute("BEGIN IMMEDIATE")
            link.execute("INSERT INTO pair (half) VALUES (1)")
        copied = type("C", (), {"settings_dict": {"NAME": str(live)}, "vendor": "sqlite"})
        monkeypatch.setattr(backup, "connections", {"default": copied})
        monkeypatch.setattr(backup, "_verify_audit", lambda file: True)
        monkeypatch.setattr(backup, "current_schema", list)
        assert backup.make_backup(tmp_path / "one").rows == {"pair": 2}


@pytest.mark.django_db
@pytest.mark.only_sqlite
def test_a_database_that_refuses_the_entry_is_backed_up_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = Manifest(1, "2026-01-01T00:00:00+00:00", "sqlite", [], "database.sqlite3", "0" * 64, {}, True)
    monkeypatch.setattr(backup_command, "make_backup", lambda folder: manifest)
    for refuses in (True, False):
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA query_only={refuses}")
        call_command("backup", "anywhere")
        written = capsys.readouterr()
        assert "no faults" in written.out
        assert ("could not be recorded" in written.err) == refuses
    assert Entry.objects.filter(action="database.backed-up").count() == 1


@pytest.mark.pure
def test_a_damaged_manifest_is_refused_with_a_sentence(tmp_path: Path) -> None:
    for content in (b"", b"[]", b"{}", b'{"format": 1}', b"\xff", b"null"):
        (tmp_path / "manifest.json").write_bytes(content)
        with pytest.raises(CommandError, match="is not a backup: manifest.json is damaged"):
            read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({"format": 2}))
    with pytest.raises(CommandError, match="made by another version"):
        read_manifest(tmp_path)
