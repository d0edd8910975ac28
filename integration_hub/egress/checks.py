"""Check that the hub may contact what it is configured to contact."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Warning
from django.db import DEFAULT_DB_ALIAS
from django.db import Error as DatabaseError

from config_schema.errors import SettingsInvalid
from connectors.address_check import LOOKUP_SECONDS, find_blocked_address, find_blocked_host
from integration_hub.egress.mail_backend import CheckedEmailBackend
from sync.models import Connection
from webhooks.models import Source

# For all lookups, so that a name server that hangs does not delay the command for minutes.
MAX_SECONDS = 20.0
MAX_ROWS = 1_000
_MAIL_BACKEND = f"{CheckedEmailBackend.__module__}.{CheckedEmailBackend.__qualname__}"


class _Finding(NamedTuple):
    name: str
    sentence: str


def check_egress(**_: Any) -> list[CheckMessage]:
    """Name each configured address that the hub may not connect to (hub.W020). What is disabled is left out, and so are
    the rows of a database that has no tables or cannot be reached.
    """
    ends_at = time.monotonic() + MAX_SECONDS
    findings = [*_check_settings(ends_at), *_check_rows(ends_at)]
    hint = (
        "List the host or its network in EGRESS_ALLOW, if the hub should contact it, or correct the address. "
        "Until then no request is sent to it."
    )
    return [Warning(f"{name}: {sentence}", hint=hint, id="hub.W020") for name, sentence in findings]


def _seconds_left(ends_at: float) -> float:
    return max(0.0, min(LOOKUP_SECONDS, ends_at - time.monotonic()))


def _check_settings(ends_at: float) -> Iterator[_Finding]:
    for name, host in _list_hosts():
        blocked = find_blocked_host(host, seconds=_seconds_left(ends_at)) if host else None
        if blocked is not None:
            yield _Finding(name, blocked.sentence)


def _list_hosts() -> Iterator[tuple[str, str]]:
    """Yield each setting that names another system, with its host."""
    for name in ("ALARM_WEBHOOK_URL", "AUDIT_CHECKPOINT_URL"):
        yield name, urlsplit(getattr(settings, name)).hostname or ""
    if settings.EMAIL_BACKEND == _MAIL_BACKEND and (
        settings.ALARM_EMAILS or settings.AUDIT_CHECKPOINT_EMAILS
    ):
        yield "EMAIL_URL", settings.EMAIL_HOST


def _check_rows(ends_at: float) -> Iterator[_Finding]:
    database = settings.DATABASES[DEFAULT_DB_ALIAS]
    if "sqlite" in database["ENGINE"] and not Path(database["NAME"]).exists():
        # A query would create the file.
        return
    try:
        enabled = list(Connection.objects.filter(is_enabled=True).order_by("pk")[:MAX_ROWS])
        sources = list(Source.objects.filter(is_enabled=True, scheme="jwt").order_by("pk")[:MAX_ROWS])
    except DatabaseError:
        return
    for connection in enabled:
        if sentence := _find_blocked_sentence(connection, _seconds_left(ends_at)):
            yield _Finding(f"The connection “{connection.name}”", sentence)
    for source in sources:
        host = urlsplit(source.jwks_url).hostname
        blocked = find_blocked_host(host, seconds=_seconds_left(ends_at)) if host else None
        if blocked is not None:
            yield _Finding(f"The keys of the source “{source.name}”", blocked.sentence)


def _find_blocked_sentence(connection: Connection, seconds: float) -> str:
    """Return why the hub may not contact a connection; empty if it may, or if its settings are invalid otherwise."""
    try:
        blocked = find_blocked_address(
            connection.connector, connection.settings, connection.authentication, connection.base_url, seconds
        )
    except SettingsInvalid:
        return ""
    return blocked.sentence if blocked else ""
