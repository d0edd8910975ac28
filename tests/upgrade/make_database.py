"""`python -m tests.upgrade.make_database FOLDER`: make one stored database, of the kind that HUB_TEST_DATABASE says.

The hub runs in this process, and calls two stand-in systems over HTTP, which keep their records in files.
"""

import lzma
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import tests.support.environment  # noqa: F401 - sets the variables of tests, which those below replace
from tests.support.database.template_database import is_postgresql, migrated_database
from tests.upgrade.releases import DATABASE_FILES, KEYS, own_files, pack_systems

_MAX_BYTES = 1_000_000
# What follows `SET` in the first lines of a dump, and PostgreSQL 15 to 17 understand.
_KNOWN_SETTINGS = (
    "statement_timeout", "lock_timeout", "client_encoding", "standard_conforming_strings", "check_function_bodies",
    "xmloption", "client_min_messages", "row_security", "default_tablespace", "default_table_access_method",
)  # fmt: skip


def main(folder: Path) -> None:
    """Make the database and its files in a folder that exists. Prints what it has."""
    with tempfile.TemporaryDirectory(prefix="hub-upgrade-") as work:
        files = Path(work)
        os.environ.update(KEYS | own_files(files))
        (files / "checkpoints").mkdir()
        (files / "systems").mkdir()
        with migrated_database(files) as (name, url):
            os.environ |= {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "tests.support.settings"}
            _fill_database(folder, files)
            dump = _dump_postgresql(url) if is_postgresql() else _pack_sqlite(Path(name))
        packed = lzma.compress(dump, preset=9 | lzma.PRESET_EXTREME)
        kind = "postgresql" if is_postgresql() else "sqlite"
        (folder / DATABASE_FILES[kind]).write_bytes(packed)
        pack_systems(files / "systems", folder / "systems.tar.xz")
        newest = max((files / "checkpoints").iterdir(), key=lambda path: (len(path.name), path.name))
        shutil.copyfile(newest, folder / "checkpoint.json")
    print(f"{kind}: {len(packed):,} bytes, {len(dump):,} unpacked")
    assert len(packed) <= _MAX_BYTES, "the database is too large for the repository"


def _fill_database(folder: Path, files: Path) -> None:
    import django

    django.setup()
    from tests.upgrade.past_days import live_through

    live_through(files / "systems", files)
    for name in ("events.zip", "audit.jsonl"):
        content = (files / name).read_bytes()
        if name.endswith(".jsonl"):
            name, content = f"{name}.xz", lzma.compress(content, preset=9)
        (folder / name).write_bytes(content)


def _pack_sqlite(file: Path) -> bytes:
    with closing(sqlite3.connect(file)) as link:
        link.execute("PRAGMA journal_mode=DELETE")
        link.execute("VACUUM")
    return file.read_bytes()


def _dump_postgresql(url: str) -> bytes:
    command = [
        "pg_dump",
        "--inserts",
        "--rows-per-insert=200",
        "--no-owner",
        "--no-privileges",
        "--no-comments",
    ]
    dump = subprocess.run([*command, f"--dbname={url}"], capture_output=True, check=True, timeout=300)
    return portable_dump(dump.stdout)


def portable_dump(dump: bytes) -> bytes:
    """Leave out what only the newest servers understand, or only `psql`: further settings, and commands with a backslash.

    Rows are below their INSERT and begin with a tab or a quoted value, so no row looks like one of these lines.
    """
    allowed = tuple(f"SET {name} ".encode() for name in _KNOWN_SETTINGS)
    lines = dump.splitlines(keepends=True)
    end = next(number for number, line in enumerate(lines) if line.startswith(b"INSERT INTO"))
    header = [
        line for line in lines[:end] if not line.startswith((b"SET ", b"\\")) or line.startswith(allowed)
    ]
    return b"".join(
        [*header, *(line for line in lines[end:] if not line.startswith((b"\\unrestrict", b"\\restrict")))]
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
