"""Refuse a database that this version of the hub cannot use, and say what leads on from there.

From 0.1.0 on, the names of the applied migrations say which schema a database has: those that a release shipped never
change. Before that, models changed inside `0001_initial`. So `migrate` records, as rows of `django_migrations` under
the label of this app, the identity of each migration and the version that ran it, and `check_schema` compares them with
the migrations of this version. A released migration keeps the identity in `released_migrations.txt`; another one has a
digest of its file, so that a database of an unreleased state is recognised too.
"""

import hashlib
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db import DEFAULT_DB_ALIAS, Error, connections, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from integration_hub import __version__
from integration_hub.database_markers import MARKED, MARKER_QUERY, MARKERS, check_markers

APPS = ("audit", "webhooks", "logins", "sync", "exports", "console")
LABEL = "integration_hub"
# Lines of `release migration identity`, written when a release is made: see CONTRIBUTING.md. After the identity, a
# line may have the digest of the file as a new version of Django forced it to be edited.
RELEASED_MIGRATIONS = Path(__file__).with_name("released_migrations.txt")
_RELEASE = "release "

_ADVICE = {
    "sqlite": "delete {name}* to start with a new database",
    "postgresql": "set DATABASE_URL to a new database",
}


def check_schema(alias: str = DEFAULT_DB_ALIAS, *, accepts_older: bool = False) -> None:
    """Raise `CommandError` if this version cannot use the database, if a restore or a move into it has not ended, or if
    the hub has moved to another database.

    A database of an older release, which `migrate` upgrades, is refused unless `accepts_older`. One query. A database
    without tables passes, and so does one that cannot be reached: a web process starts without its database and
    responds with 503 until it can be reached.
    """
    connection = connections[alias]
    labels = [*APPS, LABEL]
    try:
        with connection.cursor() as cursor:
            placeholders = ", ".join(["%s"] * len(labels))
            applied_ones = f"SELECT app, name FROM django_migrations WHERE app IN ({placeholders})"  # noqa: S608
            cursor.execute(
                f"{applied_ones} UNION ALL {MARKER_QUERY[connection.vendor]}", [*labels, MARKED, *MARKERS]
            )
            rows = cursor.fetchall()
            check_markers({name for app, name in rows if app == MARKED})
    except Error:
        return
    rows = [row for row in rows if row[0] != MARKED]
    recorded = {name for app, name in rows if app == LABEL}
    applied = {f"{app}.{name}" for app, name in rows if app != LABEL}
    known = hash_migrations()
    advice = _ADVICE[connection.vendor].format(name=connection.settings_dict["NAME"])
    if refusal := _describe_foreign(applied, recorded, known, advice):
        raise CommandError(refusal)
    missing = known.keys() - applied
    if applied and missing and not accepts_older:
        raise CommandError(_describe_older(recorded_release(recorded), len(missing)))


def _describe_foreign(applied: set[str], recorded: set[str], known: Mapping[str, str], advice: str) -> str:
    """Return why no migration leads from this database to this version; empty if it is this one or an older one."""
    release, unknown = recorded_release(recorded), sorted(applied - known.keys())
    has_other_content = any(known[migration] not in recorded for migration in applied & known.keys())
    if has_other_content or (unknown and not release):
        return (
            f"This database was created by another version of Integration Hub. Run that version, or {advice}."
        )
    if unknown:
        return (
            f"This database was upgraded by Integration Hub {release}, and this is version {__version__}, which does "
            f"not know {_join_some(unknown)}. Run version {release}, or restore a backup from before that upgrade "
            "into a new database."
        )
    return ""


def _describe_older(release: str, missing: int) -> str:
    migrations = "1 migration has" if missing == 1 else f"{missing} migrations have"
    return (
        f"This database was made by Integration Hub {release}, and this is version {__version__}: {migrations} not "
        f"run yet. Back it up with version {release}, then run manage.py upgrade_check and manage.py migrate."
    )


def _join_some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def recorded_release(recorded: Iterable[str]) -> str:
    """Return the version that last migrated a database; empty if that was before versions were recorded."""
    return next((name.removeprefix(_RELEASE) for name in recorded if name.startswith(_RELEASE)), "")


def load_recorded(alias: str = DEFAULT_DB_ALIAS) -> tuple[str, set[str]]:
    """Return the version that last migrated the database, and the identities of its migrations."""
    recorder = MigrationRecorder(connections[alias])
    names = (
        set[str](recorder.migration_qs.filter(app=LABEL).values_list("name", flat=True))
        if recorder.has_table()
        else set[str]()
    )
    release = recorded_release(names)
    return release, names - {f"{_RELEASE}{release}"}


def record_schema(using: str, **_: Any) -> None:
    """Record this version and the identities of its migrations, before the first is applied. A receiver of
    `pre_migrate`.
    """
    recorder = MigrationRecorder(connections[using])
    recorder.ensure_schema()
    with transaction.atomic(using):
        recorder.migration_qs.filter(app=LABEL).delete()
        for name in (f"{_RELEASE}{__version__}", *hash_migrations().values()):
            recorder.record_applied(LABEL, name)


def hash_migrations() -> dict[str, str]:
    """Return, by the name of each migration of `APPS`, its record: the name and its identity."""
    released = {name: identity for _, name, identity in read_released_migrations()}
    return {
        name: f"{name} {released.get(name) or hash_migration(path)}"
        for name, path in migration_files().items()
    }


def migration_files() -> dict[str, Path]:
    """Return the file of each migration of `APPS` by its name."""
    files: dict[str, Path] = {}
    for label in APPS:
        for folder in import_module(str(MigrationLoader.migrations_module(label)[0])).__path__:
            files |= {f"{label}.{path.stem}": path for path in sorted(Path(folder).glob("[0-9]*.py"))}
    return files


def hash_migration(path: Path) -> str:
    """Return the identity of a migration that is not released: a digest of its file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def read_released_migrations() -> list[tuple[str, str, str]]:
    """Return release, name and identity of each migration that a release shipped."""
    lines = RELEASED_MIGRATIONS.read_text(encoding="ascii").splitlines()
    return [(release, name, identity) for release, name, identity, *_ in map(str.split, lines)]
