"""Refuse a database that another version of the hub created.

Names of migrations do not tell two schemas apart as long as models change inside `0001_initial`. So `migrate` records a
digest of each migration file, as rows of `django_migrations` under the label of this app, and `check_schema` compares
them with the files.
"""

import hashlib
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core.management.base import CommandError
from django.db import DEFAULT_DB_ALIAS, Error, connections, transaction
from django.db.migrations.recorder import MigrationRecorder

APPS = ("audit", "webhooks", "logins", "sync", "exports", "console")
LABEL = "integration_hub"
# The table of a database whose restore has not ended: see `integration_hub.backups`.
RESTORE_MARKER = "hub_restore_unfinished"
_MARKER_QUERY = {
    "sqlite": "SELECT %s, %s FROM sqlite_master WHERE type = 'table' AND name = %s",
    "postgresql": "SELECT %s, %s FROM pg_catalog.pg_tables WHERE schemaname = current_schema() AND tablename = %s",
}

_ADVICE = {
    "sqlite": "delete {name}* to start with a new database",
    "postgresql": "set DATABASE_URL to a new database",
}


def check_schema(alias: str = DEFAULT_DB_ALIAS) -> None:
    """Raise `CommandError` if a migration was applied that has no identical file in this version, or a restore has not
    ended.

    One query. A database without tables passes, and so does one that cannot be reached: a web process starts without
    its database and responds with 503 until it can be reached.
    """
    connection = connections[alias]
    labels = [*APPS, LABEL]
    try:
        with connection.cursor() as cursor:
            placeholders = ", ".join(["%s"] * len(labels))
            applied_ones = f"SELECT app, name FROM django_migrations WHERE app IN ({placeholders})"  # noqa: S608
            marker = [RESTORE_MARKER] * 3
            cursor.execute(f"{applied_ones} UNION ALL {_MARKER_QUERY[connection.vendor]}", [*labels, *marker])
            rows = cursor.fetchall()
    except Error:
        return
    if (RESTORE_MARKER, RESTORE_MARKER) in rows:
        raise CommandError("A restore of this database did not finish. Run manage.py restore again.")
    recorded = {name for app, name in rows if app == LABEL}
    applied = [f"{app}.{name}" for app, name in rows if app != LABEL]
    digests = hash_migrations()
    if not all(digests.get(migration) in recorded for migration in applied):
        advice = _ADVICE[connection.vendor].format(name=connection.settings_dict["NAME"])
        raise CommandError(
            f"This database was created by another version of Integration Hub. Run that version, or {advice}."
        )


def record_schema(using: str, **_: Any) -> None:
    """Record the digests of all migration files, before the first is applied. A receiver of `pre_migrate`."""
    recorder = MigrationRecorder(connections[using])
    recorder.ensure_schema()
    with transaction.atomic(using):
        recorder.migration_qs.filter(app=LABEL).delete()
        for digest in hash_migrations().values():
            recorder.record_applied(LABEL, digest)


def hash_migrations() -> dict[str, str]:
    """Return, by the name of each migration of `APPS`, its record: the name and a digest of the file."""
    records = {}
    for label in APPS:
        for path in sorted(Path(apps.get_app_config(label).path, "migrations").glob("[0-9]*.py")):
            name = f"{label}.{path.stem}"
            records[name] = f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()[:32]}"
    return records
