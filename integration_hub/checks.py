"""System checks: what must be true of the settings before the hub may face the internet, each with a hint."""

import base64
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register


@register()
def check_secret_key(**_: Any) -> list[CheckMessage]:
    """hub.E001: a short SECRET_KEY lets result addresses and sessions be forged."""
    if len(settings.SECRET_KEY) >= 50 and len(set(settings.SECRET_KEY)) >= 5:
        return []
    hint = "Make one with: python -c 'import secrets; print(secrets.token_urlsafe(50))'"
    return [Error("SECRET_KEY is shorter than 50 characters.", hint=hint, id="hub.E001")]


@register()
def check_sealing_keys(**_: Any) -> list[CheckMessage]:
    """hub.E002: each of SEALING_KEYS is 32 bytes in URL-safe base64."""
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
        if not _is_key(key)
    ]


def _is_key(key: str) -> bool:
    try:
        return len(base64.urlsafe_b64decode(key)) == 32
    except ValueError:
        return False


@register()
def check_production(**_: Any) -> list[CheckMessage]:
    """hub.E003 to hub.W005: hosts, the unavailable status, and cookies of a hub that is not a laptop's."""
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
    """hub.W007: without a way out for checkpoints, a holder of database and key could rewrite the audit log unseen."""
    ways = (settings.AUDIT_CHECKPOINT_FOLDER, settings.AUDIT_CHECKPOINT_EMAILS, settings.AUDIT_CHECKPOINT_URL)
    if settings.DEBUG or any(ways):
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
    """hub.E006: CELERY_BROKER_URL needs Celery, which is an optional extra."""
    if not settings.CELERY_BROKER_URL or find_spec("celery"):
        return []
    hint = "Run pip install integration-hub[celery], or leave CELERY_BROKER_URL empty."
    return [Error("CELERY_BROKER_URL is set, but Celery is not installed.", hint=hint, id="hub.E006")]


@register()
def check_retention(**_: Any) -> list[CheckMessage]:
    """hub.W008: an event whose audit entries are deleted before it is proved by nothing."""
    events, audit = settings.KEEP_EVENTS_DAYS, settings.KEEP_AUDIT_DAYS
    if not audit or 0 < events <= audit:
        return []
    hint = "Set KEEP_AUDIT_DAYS to 0, or to at least KEEP_EVENTS_DAYS."
    return [Warning("Audit entries are deleted before the events that they prove.", hint=hint, id="hub.W008")]
