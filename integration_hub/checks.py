"""System checks of the settings, each with a hint. A web process refuses to start with an error among them."""

import base64
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register


@register()
def check_secret_key(**_: Any) -> list[CheckMessage]:
    """Check the length of SECRET_KEY (hub.E001): with a short key, result addresses and sessions can be forged."""
    if len(settings.SECRET_KEY) >= 50 and len(set(settings.SECRET_KEY)) >= 5:
        return []
    hint = "Make one with: python -c 'import secrets; print(secrets.token_urlsafe(50))'"
    return [Error("SECRET_KEY is shorter than 50 characters.", hint=hint, id="hub.E001")]


@register()
def check_sealing_keys(**_: Any) -> list[CheckMessage]:
    """Check that each of SEALING_KEYS is 32 bytes in URL-safe base64 (hub.E002)."""
    hint = (
        "Make one with: python -c 'import base64, os; "
        "print(base64.urlsafe_b64encode(os.urandom(32)).decode())'"
    )
    return [
        Error(
            f"Key number {number} of SEALING_KEYS is invalid: a key must be 32 bytes in URL-safe base64.",
            hint=hint,
            id="hub.E002",
        )
        for number, key in enumerate(settings.SEALING_KEYS, start=1)
        if not _is_encryption_key(key)
    ]


def _is_encryption_key(key: str) -> bool:
    try:
        return len(base64.urlsafe_b64decode(key)) == 32
    except ValueError:
        return False


@register()
def check_production(**_: Any) -> list[CheckMessage]:
    """Check the hosts (hub.E003), the status while nothing can be stored (hub.E004) and the cookies (hub.W005)."""
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
    hint = "Run pip install integration-hub[celery], or leave CELERY_BROKER_URL empty."
    return [Error("CELERY_BROKER_URL is set, but Celery is not installed.", hint=hint, id="hub.E006")]


@register()
def check_retention(**_: Any) -> list[CheckMessage]:
    """Warn if audit entries are deleted before the events that they prove (hub.W008)."""
    events, audit = settings.KEEP_EVENTS_DAYS, settings.KEEP_AUDIT_DAYS
    if not audit or 0 < events <= audit:
        return []
    hint = "Set KEEP_AUDIT_DAYS to 0, or to at least KEEP_EVENTS_DAYS."
    return [Warning("Audit entries are deleted before the events that they prove.", hint=hint, id="hub.W008")]
