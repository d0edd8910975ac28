"""Copy the database while the hub runs, verify the copy, and give it its name only then."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from django.conf import settings
from django.core.management.base import CommandError
from django.db import connections, transaction

from audit.entries.append import NewEntry, append_entries
from audit.models.entry import BACKUP_ACTION
from audit.verification.check_database import verify_database
from integration_hub.backups.manifest import (
    FORMAT,
    Manifest,
    count_rows,
    current_schema,
    hash_file,
    write_manifest,
)
from integration_hub.backups.postgresql_programs import (
    MAX_SECONDS,
    describe_connection,
    find_program,
    run_program,
)

UNFINISHED = ".unfinished"


def make_backup(folder: Path) -> Manifest:
    """Back the database up into a new folder, readable by its owner alone. Returns the manifest.

    1. Everything is written into a folder beside it, whose name ends with `.unfinished`.
    2. The database is copied as it is at one moment; no writer waits.
    3. The copy is verified: its pages, its audit log, and the number of rows.
    4. The manifest is written, all is flushed to the disk, and the folder gets its name.

    Raises CommandError, having left nothing, if a step fails or the folder exists.
    """
    with _new_folder(folder) as unfinished:
        made_at = datetime.now(UTC).isoformat(timespec="seconds")
        vendor = connections["default"].vendor
        copy_database = _copy_postgresql if vendor == "postgresql" else _copy_sqlite
        file, rows, is_whole = copy_database(unfinished)
        manifest = Manifest(
            FORMAT, made_at, vendor, current_schema(), file.name, hash_file(file), rows, is_whole
        )
        write_manifest(unfinished, manifest)
    return manifest


def record_backup(manifest: Manifest) -> None:
    """Append an audit entry for a finished backup: `/metrics` shows its age. The backup does not contain the entry.

    Raises DatabaseError if the database refuses it, for example from a role that may only read.
    """
    details = {
        "made_at": manifest.made_at,
        "sha256": manifest.sha256,
        "audit_is_whole": manifest.audit_is_whole,
    }
    with transaction.atomic():
        append_entries(NewEntry("system", BACKUP_ACTION, details=details))


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """Yield a private folder that gets its name at the end of the block, and is deleted if the block fails."""
    unfinished = folder.with_name(folder.name + UNFINISHED)
    if folder.exists():
        raise CommandError(f"{folder} already exists. A backup is never overwritten: choose a new folder.")
    try:
        unfinished.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise CommandError(
            f"{unfinished} exists: another backup is being made, or one was interrupted. If none is running, delete it."
        ) from None
    except OSError as error:
        raise CommandError(f"{unfinished} cannot be created: {error.strerror}.") from None
    try:
        yield unfinished
        for path in (*sorted(unfinished.iterdir()), unfinished):
            _flush_to_disk(path, mode=0o700 if path.is_dir() else 0o600)
        unfinished.rename(folder)
        _flush_to_disk(folder.parent)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _flush_to_disk(path: Path, mode: int | None = None) -> None:
    if mode is not None:
        path.chmod(mode)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copy_sqlite(folder: Path) -> tuple[Path, dict[str, int], bool]:
    """Copy a SQLite file by its backup interface, and verify the copy in a separate process."""
    source, file = str(connections["default"].settings_dict["NAME"]), folder / "database.sqlite3"
    if not Path(source).is_file():
        raise CommandError(f"There is no database to back up: {source} does not exist.")
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        live_at = f"file:{quote(source)}?mode=ro"
        with closing(sqlite3.connect(live_at, uri=True)) as live, closing(sqlite3.connect(file)) as copy:
            # In one step, from one snapshot: with a write-ahead log no writer waits for a reader. A copy in several
            # steps begins again with each commit of another process, and would never end on a busy hub.
            live.backup(copy, pages=-1)
        is_whole = _verify_audit(file)
        with closing(sqlite3.connect(file)) as copy:
            return file, _check_sqlite(copy), is_whole
    except sqlite3.Error as error:
        raise CommandError(f"The database could not be copied: {error}.") from error


def _check_sqlite(copy: sqlite3.Connection) -> dict[str, int]:
    """Return the rows by table. Raises CommandError if the pages of the copy are damaged."""
    faults = [row[0] for row in copy.execute("PRAGMA integrity_check(5)")]
    if faults != ["ok"]:
        raise CommandError(f"The copy is damaged, and so is the database: {'; '.join(faults)}.")
    copy.execute("PRAGMA journal_mode=DELETE")  # one file contains everything
    tables = copy.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY 1"
    )
    names = [row[0] for row in tables]
    return {name: copy.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}  # noqa: S608


def _verify_audit(file: Path) -> bool:
    """Return True if `verify_audit` finds no fault in a SQLite file."""
    environment = dict(os.environ) | {"DATABASE_URL": f"sqlite:///{quote(str(file.resolve()))}"}
    command = [*settings.COMMAND_LINE, "verify_audit", "--log-only"]
    ended = subprocess.run(  # noqa: S603
        command, env=environment, capture_output=True, text=True, timeout=MAX_SECONDS, check=False
    )
    if "erified up to" not in ended.stdout and "hecked everything up to" not in ended.stdout:
        raise CommandError(f"The audit log of the copy could not be read: {ended.stderr.strip()[-500:]}")
    return ended.returncode == 0


def _copy_postgresql(folder: Path) -> tuple[Path, dict[str, int], bool]:
    """Dump PostgreSQL, then count and verify in the snapshot of the dump; at last read the dump to its end."""
    find_program("pg_dump")
    find_program("pg_restore")
    file = folder / "database.dump"
    with transaction.atomic(), connections["default"].cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        # This transaction is idle for as long as the dump takes.
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        cursor.execute("SELECT pg_export_snapshot()")
        snapshot = cursor.fetchone()[0]
        run_program(
            "pg_dump", "--format=custom", "--no-password", f"--snapshot={snapshot}", f"--file={file}",
            f"--dbname={describe_connection()}",
        )  # fmt: skip
        rows, faults = count_rows(), verify_database().faults
    run_program("pg_restore", f"--file={os.devnull}", file)
    return file, rows, not faults
