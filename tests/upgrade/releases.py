"""The databases of earlier releases, below `databases/`: what each folder has, and how a copy is made to run.

A folder is named after its release. It has `keys.json`, the variables that its hubs ran with; `verify.py` and
`check_rows.py` of that release; and for each kind of database a folder with

- `hub.sqlite3.xz` or `hub.sql.xz`, the database,
- `systems.tar.xz`, the records of the two stand-in systems,
- `events.zip` and `audit.jsonl.xz`, an export of the events and one of the audit log, made by that release,
- `checkpoint.json`, the newest checkpoint that left the hub before the exports.
"""

import json
import lzma
import os
import secrets
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests.support.database import postgresql

FOLDER = Path(__file__).with_name("databases")
DATABASE_FILES = {"sqlite": "hub.sqlite3.xz", "postgresql": "hub.sql.xz"}


@dataclass(frozen=True, slots=True)
class StoredHub:
    """A hub of an earlier release: its folder, and the kind of its database."""

    release: Path
    kind: str

    @property
    def folder(self) -> Path:
        return self.release / self.kind

    @property
    def database(self) -> Path:
        return self.folder / DATABASE_FILES[self.kind]

    def environment(self, url: str, files: Path) -> dict[str, str]:
        """Return the variables of a process on a copy, with its own keys. `files`: its folder for exports."""
        keys: dict[str, str] = json.loads((self.release / "keys.json").read_text())
        return os.environ | keys | own_files(files) | {"DATABASE_URL": url}


def own_files(folder: Path) -> dict[str, str]:
    """Return the variables that name files of a hub."""
    return {
        "EXPORT_FOLDER": str(folder / "exports"),
        "AUDIT_CHECKPOINT_FOLDER": str(folder / "checkpoints"),
        "ERASURE_LIST": str(folder / "erasures.jsonl"),
    }


def released_folders() -> list[Path]:
    """Return the folder of each release, oldest first."""
    return sorted(FOLDER.iterdir(), key=lambda folder: [int(part) for part in folder.name.split(".")])


def stored_hubs() -> list[StoredHub]:
    """Return the hubs of all releases on the kind of database that this run uses."""
    kind = os.environ.get("HUB_TEST_DATABASE", "sqlite")
    return [StoredHub(folder, kind) for folder in released_folders()]


@contextmanager
def restored_copy(hub: StoredHub, folder: Path) -> Iterator[str]:
    """Restore the database and the records of the stand-ins into a folder. Yields the DATABASE_URL."""
    with lzma.open(hub.folder / "systems.tar.xz") as packed, tarfile.open(fileobj=packed) as archive:
        archive.extractall(folder / "systems", filter="data")
    if hub.kind == "sqlite":
        file = folder / "hub.sqlite3"
        with lzma.open(hub.database) as packed, file.open("wb") as copy:
            shutil.copyfileobj(packed, copy)
        yield f"sqlite:///{file}"
        return
    with new_postgresql_database() as url, psycopg.connect(url, autocommit=True) as link:
        link.execute(lzma.decompress(hub.database.read_bytes()))
        yield url


@contextmanager
def new_postgresql_database() -> Iterator[str]:
    """Yield the URL of an empty database, which is deleted afterwards."""
    name, server = f"hub_upgrade_{secrets.token_hex(6)}", postgresql.url()
    with psycopg.connect(server, autocommit=True) as link:
        link.execute(f"CREATE DATABASE {name}")
        try:
            yield f"{server.rpartition('/')[0]}/{name}"
        finally:
            link.execute(f"DROP DATABASE {name} WITH (FORCE)")


def pack_systems(folder: Path, into: Path) -> None:
    """Pack the files of the two stand-in systems, which are stopped."""
    with lzma.open(into, "wb", preset=9) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for path in sorted(folder.glob("*.sqlite3")):
            archive.add(path, path.name)


KEYS: Mapping[str, str] = {
    "SECRET_KEY": "only-for-tests-of-upgrades-0123456789abcdefghijklmnopqrstuvwxyz",
    "SEALING_KEYS": "b25seS1mb3ItdGVzdHMtb2YtdXBncmFkZXMtMDEyMzQ=",
    # Nothing is deleted for its age, however old the copy is.
    **dict.fromkeys(
        (
            "KEEP_PAYLOADS_DAYS", "KEEP_CALLS_DAYS", "KEEP_EVENTS_DAYS", "KEEP_REFUSALS_DAYS", "KEEP_ALARMS_DAYS",
            "KEEP_AUDIT_DAYS", "EXPORT_DAYS",
        ),
        "36500",
    ),
}  # fmt: skip
"""The variables of the hubs whose databases are made now."""
