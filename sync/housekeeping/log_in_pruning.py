"""Choose the log-in attempts and refreshed tokens to delete: those whose credentials no connection sends any more."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet

from config_schema.errors import SettingsInvalid
from connectors.registry import find_log_in_key, find_refresh_key
from database.encryption.at_rest import CannotDecrypt
from sync.models import Connection, LogInAttempt, RefreshedToken

logger = logging.getLogger("hub.audit")

# A refusal is stored this long after its connection or credentials changed: someone may undo the change.
REFUSED_RETENTION = timedelta(days=30)
# A log-in without a refusal leaves nothing to remember.
UNDECIDED_RETENTION = timedelta(days=1)


def find_expired_log_in_attempts(now: datetime) -> QuerySet[Any]:
    """Return log-in attempts to delete: old ones without a refusal, and old refusals of credentials that no connection
    has any more.

    The refusal of a password that a connection still has is never returned. If a connection cannot be read, no refusal
    is returned at all.
    """
    undecided = Q(refused_at=None) & (Q(busy_until=None) | Q(busy_until__lt=now - UNDECIDED_RETENTION))
    keys = _find_current_keys("session", find_log_in_key)
    if keys is None:
        return LogInAttempt.objects.filter(undecided)
    current = [LogInAttempt.digest_key(key) for key in keys]
    is_old = Q(refused_at__lt=now - REFUSED_RETENTION) & ~Q(pk__in=current)
    return LogInAttempt.objects.filter(undecided | is_old)


def find_expired_refreshed_tokens(now: datetime) -> QuerySet[Any]:
    """Return the refreshed tokens to delete: no connection has their refresh token any more.

    If a connection cannot be read, no token that a system issued is returned.
    """
    idle = Q(busy_until=None) | Q(busy_until__lt=now - UNDECIDED_RETENTION)
    without_token = idle & Q(renewed_at=None)
    keys = _find_current_keys("oauth2-refresh-token", find_refresh_key)
    if keys is None:
        return RefreshedToken.objects.filter(without_token)
    current = [RefreshedToken.digest_key(key) for key in keys]
    is_old = idle & Q(renewed_at__lt=now - UNDECIDED_RETENTION) & ~Q(pk__in=current)
    return RefreshedToken.objects.filter(without_token | is_old)


def _find_current_keys(scheme: str, find_key: Callable[..., str | None]) -> list[str] | None:
    """Return the keys of all connections with this scheme of authentication; None if one of them cannot be read."""
    try:
        keys = [
            find_key(row.connector, row.base_url, row.authentication, row.credentials)
            for row in Connection.objects.filter(authentication__scheme=scheme)
            if row.credentials
        ]
    except (CannotDecrypt, SettingsInvalid, KeyError):
        logger.warning("nothing about %s was deleted: a connection cannot be read", scheme)
        return None
    return [key for key in keys if key is not None]
