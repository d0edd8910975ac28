"""The manifest of a backup: what was copied, by which version of the hub, and how each file is recognised."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from django.core.management.base import CommandError
from django.db import connections

from integration_hub.schema_version import hash_migrations

FORMAT = 1
MANIFEST_FILE = "manifest.json"
_CHUNK_BYTES = 2**20
_MAX_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Manifest:
    """`rows`: the number of rows by table. `audit_is_whole`: the audit log of the copy was verified without a fault."""

    format: int
    made_at: str
    engine: str
    schema: list[str]
    database_file: str
    sha256: str
    rows: dict[str, int]
    audit_is_whole: bool


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest into the folder of a backup."""
    text = json.dumps(asdict(manifest), indent=2, sort_keys=True)
    (folder / MANIFEST_FILE).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a backup. Raises CommandError if there is none that this version of the hub can read."""
    path = folder / MANIFEST_FILE
    try:
        with path.open("rb") as file:
            fields = json.loads(file.read(_MAX_BYTES))
        if fields["format"] != FORMAT:
            raise CommandError(
                f"{folder} was made by another version of Integration Hub. Restore it with that version."
            )
        return Manifest(**fields)
    except OSError as error:
        raise CommandError(
            f"{folder} is not a finished backup: {path.name} cannot be read ({error.strerror})."
        ) from None
    except (ValueError, TypeError, KeyError):
        raise CommandError(f"{folder} is not a backup: {path.name} is damaged.") from None


def check_backup(folder: Path, manifest: Manifest) -> Path:
    """Return the file of the database. Raises CommandError if it is not the one that was backed up, or does not fit."""
    vendor = connections["default"].vendor
    if manifest.engine != vendor:
        raise CommandError(
            f"This is a backup of {manifest.engine}, but DATABASE_URL names a database of {vendor}."
        )
    if manifest.schema != current_schema():
        raise CommandError(
            "This backup was made by another version of Integration Hub. Restore it with that version, then upgrade."
        )
    file = folder / Path(manifest.database_file).name
    if not file.is_file():
        raise CommandError(f"The backup is incomplete: {file} is missing.")
    if hash_file(file) != manifest.sha256:
        raise CommandError(f"{file} was changed or damaged after the backup was made: its hash differs.")
    return file


def current_schema() -> list[str]:
    """Return the names that identify the schema of this version."""
    return sorted(hash_migrations().values())


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, which may be larger than the memory."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def count_rows(alias: str = "default") -> dict[str, int]:
    """Return the number of rows of each table in the database."""
    connection = connections[alias]
    with connection.cursor() as cursor:
        counts = {}
        for table in sorted(connection.introspection.table_names(cursor)):
            cursor.execute(f"SELECT count(*) FROM {connection.ops.quote_name(table)}")  # noqa: S608
            counts[table] = int(cursor.fetchone()[0])
    return counts
