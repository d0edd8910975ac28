"""Load a backup into the database of DATABASE_URL, all of it or nothing."""

import os
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from django.core.management.base import CommandError
from django.db import connection, transaction

from integration_hub.backups.manifest import Manifest
from integration_hub.backups.postgresql_programs import describe_connection, find_program, run_program
from integration_hub.backups.restore_marker import mark_restoring, marked_backup
from integration_hub.database_markers import RESTORE_MARKER

_STOP_FIRST = "The database is in use. Stop every process of the hub first."


def load_sqlite(file: Path, manifest: Manifest, *, replaces: bool) -> bool:
    """Replace the database by a marked copy of the backup. A file that was replaced is kept next to it.

    Returns True. Raises CommandError, having changed nothing, if a database that holds tables would be replaced without
    `replaces`, or is in use.
    """
    target = Path(str(connection.settings_dict["NAME"]))
    connection.close()
    tables = _sqlite_tables(target)
    if tables and RESTORE_MARKER not in tables and not replaces:
        raise CommandError(f"{target} contains a database. Set DATABASE_URL to a new file, or add --replace.")
    if tables:
        _write_log_back(target)
    staged = target.with_name(target.name + ".restoring")
    staged.unlink(missing_ok=True)
    os.close(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    shutil.copyfile(file, staged)
    with closing(sqlite3.connect(staged)) as copy:
        copy.execute("PRAGMA synchronous=FULL")
        copy.execute(f"CREATE TABLE {RESTORE_MARKER} (backup varchar(64) NOT NULL)")
        copy.execute(f"INSERT INTO {RESTORE_MARKER} (backup) VALUES (?)", [manifest.sha256])  # noqa: S608
        copy.commit()
    if tables and RESTORE_MARKER not in tables:
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        os.link(target, target.with_name(f"{target.name}.replaced-{now}"))
    for ending in (
        "-wal",
        "-shm",
    ):  # the log of a file that was deleted by hand would be read into the new one
        target.with_name(target.name + ending).unlink(missing_ok=True)
    staged.replace(target)
    return True


def _sqlite_tables(target: Path) -> set[str]:
    """Return the tables of a file, which may be absent. Raises CommandError if it is no database."""
    if not target.exists() or not target.stat().st_size:
        return set()
    try:
        with closing(sqlite3.connect(target, timeout=1)) as raw_connection:
            rows = raw_connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            return {row[0] for row in rows}
    except sqlite3.OperationalError:
        raise CommandError(_STOP_FIRST) from None
    except sqlite3.DatabaseError as error:
        raise CommandError(
            f"{target} is not a database that can be replaced ({error}): move it away."
        ) from None


def _write_log_back(target: Path) -> None:
    """Write the log of a file back into it, so that it can be moved alone. Raises CommandError if it is in use."""
    try:
        with closing(sqlite3.connect(target, timeout=1)) as raw_connection:
            mode = raw_connection.execute("PRAGMA journal_mode=DELETE").fetchone()[0]
    except sqlite3.OperationalError:
        mode = "locked"
    if mode != "delete":
        raise CommandError(_STOP_FIRST)


def load_postgresql(file: Path, manifest: Manifest, *, replaces: bool) -> bool:
    """Load the dump into an empty database in one transaction. Returns False if an interrupted restore had loaded it.

    Raises CommandError, having changed nothing, if the database holds other tables.
    """
    find_program("pg_restore")
    with connection.cursor() as cursor:
        tables = set(connection.introspection.table_names(cursor))
    marked = marked_backup()
    if tables and (replaces or not marked):
        raise CommandError("The database contains tables. Create an empty one, and set DATABASE_URL to it.")
    if marked and marked != manifest.sha256:
        raise CommandError(
            "Another backup was being restored here. Create an empty database, and set DATABASE_URL to it."
        )
    if not marked:
        with transaction.atomic():
            mark_restoring(manifest.sha256)
    is_loaded = len(tables) > 1
    if not is_loaded:
        run_program(
            "pg_restore", "--single-transaction", "--exit-on-error", "--no-owner", "--no-acl", "--no-password",
            f"--dbname={describe_connection()}", file,
        )  # fmt: skip
    return not is_loaded
