"""Checks before a process serves: system checks of the settings, each with a hint, and a look at the database.

A web process refuses to start with an error among the first. Web processes and workers refuse a database that does not
fit.
"""

import logging
import shlex
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.management.base import CommandError
from django.db import DEFAULT_DB_ALIAS, connections
from django.db import Error as DatabaseError

from database.private_files import is_open_to_others
from integration_hub.schema_version import check_schema
from integration_hub.start_refusals import EXIT_CODE, describe_failed_connection, is_refusal

logger = logging.getLogger("hub.start")


@register()
def check_production(**_: Any) -> list[CheckMessage]:
    """Check the hosts (hub.E003), the status while nothing can be stored (hub.E004), the wait of a second person
    (hub.E021) and the cookies (hub.W005).
    """
    return list(_production_messages())


def _production_messages() -> Iterator[CheckMessage]:
    if not settings.DEBUG and not settings.ALLOWED_HOSTS:
        yield Error(
            "ALLOWED_HOSTS is empty while DEBUG is off.",
            hint="Set the host names that the hub serves, for example ALLOWED_HOSTS=hub.example.com.",
            id="hub.E003",
        )
    if settings.UNAVAILABLE_STATUS not in (429, 503):
        yield Error(
            f"UNAVAILABLE_STATUS is {settings.UNAVAILABLE_STATUS}.",
            hint="Use 503, or 429 for sources that expect only 200 and 400-series answers.",
            id="hub.E004",
        )
    if not settings.DEBUG and settings.SECOND_PERSON_HOURS < 1:
        yield Error(
            "SECOND_PERSON_HOURS is 0: a person could give someone a permission and approve through them at once.",
            hint="Leave it unset (24), or set it to 1 or more hours.",
            id="hub.E021",
        )
    if not settings.DEBUG and not settings.SECURE_COOKIES:
        yield Warning(
            "SECURE_COOKIES is off: console sessions can be intercepted in the network.",
            hint="Serve the console over TLS and leave SECURE_COOKIES unset.",
            id="hub.W005",
        )


@register()
def check_checkpoints(**_: Any) -> list[CheckMessage]:
    """Warn if checkpoints of the audit log are not published (hub.W007).

    Without them, a holder of the database and the key could rewrite the audit log unnoticed.
    """
    destinations = (
        settings.AUDIT_CHECKPOINT_FOLDER,
        settings.AUDIT_CHECKPOINT_EMAILS,
        settings.AUDIT_CHECKPOINT_URL,
    )
    if settings.DEBUG or any(destinations):
        return []
    hint = (
        "Set AUDIT_CHECKPOINT_EMAILS to the auditors' addresses, or AUDIT_CHECKPOINT_FOLDER or "
        "AUDIT_CHECKPOINT_URL to a place where administrators cannot change files."
    )
    return [
        Warning("Checkpoints of the audit log are not published outside the hub.", hint=hint, id="hub.W007")
    ]


@register()
def check_celery(**_: Any) -> list[CheckMessage]:
    """Check that Celery, an optional extra, is installed if CELERY_BROKER_URL is set (hub.E006)."""
    if not settings.CELERY_BROKER_URL or find_spec("celery"):
        return []
    hint = "Run pip install --require-hashes -r requirements-celery.lock, or leave CELERY_BROKER_URL empty."
    return [Error("CELERY_BROKER_URL is set, but Celery is not installed.", hint=hint, id="hub.E006")]


@register()
def check_retention(**_: Any) -> list[CheckMessage]:
    """Warn if audit entries are deleted before the events that they prove (hub.W008)."""
    events, audit = settings.KEEP_EVENTS_DAYS, settings.KEEP_AUDIT_DAYS
    if not audit or 0 < events <= audit:
        return []
    hint = "Set KEEP_AUDIT_DAYS to 0, or to at least KEEP_EVENTS_DAYS."
    return [Warning("Audit entries are deleted before the events that they prove.", hint=hint, id="hub.W008")]


@register()
def check_file_permissions(**_: Any) -> list[CheckMessage]:
    """Check that other users of the machine cannot open the database file, `var` and exports (hub.E016).

    They hold personal data, and credentials that only a key protects. A warning with DEBUG on (hub.W016).
    """
    kind, number = (Warning, "hub.W016") if settings.DEBUG else (Error, "hub.E016")
    return [
        kind(
            f"Every user of this machine can open {path}.",
            hint=f"Run: chmod {'700' if path.is_dir() else '600'} {shlex.quote(str(path))}",
            id=number,
        )
        for path in _private_paths()
        if is_open_to_others(path)
    ]


def _private_paths() -> Iterator[Path]:
    """Yield the files and folders of this hub that only its own user should open."""
    database = settings.DATABASES[DEFAULT_DB_ALIAS]
    name = str(database["NAME"])
    if "sqlite" in database["ENGINE"] and name != ":memory:":
        yield from (Path(f"{name}{ending}") for ending in ("", "-wal", "-shm"))
    yield from (settings.WORKING_DIR / "var", Path(settings.EXPORT_FOLDER))


def check_lease(alias: str = DEFAULT_DB_ALIAS) -> None:
    """Raise `CommandError` (hub.E009) if LEASE_SECONDS does not outlast the timeout of an enabled connection.

    Another process would take a delivery over while its request is still on its way. One query; a database that has no
    tables or cannot be reached passes, as in `check_schema`.
    """
    # By name, because this module is imported before the models are.
    connection_model: Any = apps.get_model("sync", "Connection")
    longest = connection_model.longest_deadline_seconds()
    outlasting = connection_model.objects.using(alias).filter(is_enabled=True, deadline_seconds__gt=longest)
    try:
        found = outlasting.order_by("-deadline_seconds", "pk").values_list("name", "deadline_seconds").first()
    except DatabaseError:
        return
    if found is None or "hub.E009" in settings.SILENCED_SYSTEM_CHECKS:
        return
    name, deadline = found
    lease = settings.LEASE_SECONDS
    raise CommandError(
        f"LEASE_SECONDS is {lease:g}, but requests to “{name}” may take {deadline:g} seconds. Set LEASE_SECONDS to at "
        f"least {deadline + lease - longest:g}, or shorten the timeout of the connection. (hub.E009)"
    )


def check_database_at_start() -> None:
    """Check the address of the database, the schema and the lease before a process serves. Raises `CommandError`.

    A process whose database cannot be reached starts and waits for it. Leaves no connection open: the process may fork.
    """
    if failure := describe_failed_connection():
        if is_refusal(failure):
            raise CommandError(f"The database refuses the hub: {failure}. Correct DATABASE_URL.")
        logger.warning("the database cannot be reached; the process starts and waits for it")
        return
    connection = connections[DEFAULT_DB_ALIAS]
    try:
        check_schema()
        # One wait for an unavailable database is enough.
        if connection.connection is not None:
            check_lease()
    finally:
        connection.close()
        if connection.vendor == "postgresql":
            connection.close_pool()  # type: ignore[attr-defined]


def check_database_or_exit() -> None:
    """Check the database before a web process serves. Exits with the code with which gunicorn starts no other one."""
    try:
        check_database_at_start()
    except CommandError as refusal:
        print(refusal, file=sys.stderr)
        sys.exit(EXIT_CODE)
