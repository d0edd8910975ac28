"""Delete what is known of log-ins that no connection would send any more."""

import logging
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet

from config_schema.errors import SettingsInvalid
from sync.connectors.registry import find_log_in_key
from sync.models import Connection, LogInAttempt
from webhooks.encryption.at_rest import CannotDecrypt

logger = logging.getLogger("hub.audit")

# For so long a refusal is kept although its connection or credentials changed: someone may undo the change.
REFUSED_RETENTION = timedelta(days=30)
# A log-in without a refusal leaves nothing to remember.
UNDECIDED_RETENTION = timedelta(days=1)


def find_useless_attempts(now: datetime) -> QuerySet[Any]:
    """Return the rows of log-ins that ended without a refusal, and of refused credentials that no connection has.

    A row that keeps a password of a connection from being tried again is never among them. If a connection cannot be
    read, no refusal is.
    """
    undecided = Q(refused_at=None) & (Q(busy_until=None) | Q(busy_until__lt=now - UNDECIDED_RETENTION))
    current = _find_current_keys()
    if current is None:
        return LogInAttempt.objects.filter(undecided)
    is_old = Q(refused_at__lt=now - REFUSED_RETENTION) & ~Q(pk__in=current)
    return LogInAttempt.objects.filter(undecided | is_old)


def _find_current_keys() -> list[str] | None:
    """Return the keys of the log-ins of all connections; None if a connection cannot be read."""
    try:
        keys = [
            find_log_in_key(row.connector, row.base_url, row.authentication, row.credentials)
            for row in Connection.objects.filter(authentication__scheme="session")
            if row.credentials
        ]
    except (CannotDecrypt, SettingsInvalid, KeyError):
        logger.warning("refusals of log-ins were not deleted: a connection cannot be read")
        return None
    return [LogInAttempt.digest_key(key) for key in keys if key is not None]
