"""Bring a backup back: load it, keep it from sending anything, and repeat the erasures that were made since."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.core.management.base import CommandError
from django.db import connection, transaction

from audit.entries.append import NewEntry, append_entries
from audit.verification.check_database import verify_database
from database.encryption.at_rest import CannotDecrypt, decrypt
from integration_hub.backups.load import load_postgresql, load_sqlite
from integration_hub.backups.manifest import Manifest, check_backup, count_rows, read_manifest
from integration_hub.backups.repeated_erasures import repeat_erasures
from integration_hub.backups.restore_marker import delete_marker
from sync.erasure.erasure_list import ListedErasure
from sync.operations.pauses import hold_waiting, pause_flow
from webhooks.models import Pepper, Source

_PAUSE_REASON = "restored from a backup: check before you resume"


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """The result of a restore: sources paused, people erased again or waiting for it, and faults of the audit log."""

    manifest: Manifest
    paused: int
    erased: int
    waiting: int
    faults: tuple[str, ...]


def restore_backup(
    folder: Path, erasures: Sequence[ListedErasure], *, replaces: bool, announce: Callable[[str], None]
) -> RestoreReport:
    """Restore a backup into the database of DATABASE_URL.

    1. Check the backup: its hash, its schema, and the kind of database. Nothing was changed if it does not fit.
    2. Load all of it, with a marker with which no process of the hub starts.
    3. Pause every source, repeat the erasures, and verify the audit log.
    4. Delete the marker. Interrupted before this, the database is refused until the restore has run again.

    Raises CommandError.
    """
    manifest = read_manifest(folder)
    file = check_backup(folder, manifest)
    load = load_postgresql if connection.vendor == "postgresql" else load_sqlite
    if load(file, manifest, replaces=replaces):
        _check_rows(manifest)
    announce("Loaded the database.")
    return _finish_restore(manifest, erasures, announce)


def _finish_restore(
    manifest: Manifest, erasures: Sequence[ListedErasure], announce: Callable[[str], None]
) -> RestoreReport:
    """Run the steps after the database was loaded. Each step can be repeated."""
    _check_keys()
    paused = sum(pause_flow(source, _PAUSE_REASON, None) for source in Source.objects.all())
    hold_waiting()
    announce(f"Sources paused: {paused}.")
    erased, waiting = repeat_erasures(erasures)
    announce(f"Erasures repeated: {erased + waiting}.")
    details = {"made_at": manifest.made_at, "sha256": manifest.sha256, "erasures": erased + waiting}
    with transaction.atomic():
        append_entries(NewEntry("system", "database.restored", details=details))
    faults = tuple(map(str, verify_database().faults))
    delete_marker()
    return RestoreReport(manifest, paused, erased, waiting, faults)


def _check_rows(manifest: Manifest) -> None:
    """Raise CommandError if a table has another number of rows than the backup. Call it right after loading."""
    rows = count_rows()
    different = [table for table, count in manifest.rows.items() if rows.get(table) != count]
    if different:
        raise CommandError(
            f"Not all rows were loaded: {', '.join(different[:5])}. The database is not usable."
        )


def _check_keys() -> None:
    """Raise CommandError if SEALING_KEYS cannot decrypt the database: pseudonyms could not be computed either."""
    try:
        for encrypted in Pepper.objects.values_list("encrypted", flat=True):
            decrypt(bytes(encrypted))
    except CannotDecrypt:
        raise CommandError(
            "SEALING_KEYS do not decrypt this backup. Add the key that was in use at that time, and run the "
            "command again."
        ) from None
