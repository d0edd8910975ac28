"""Store the refresh tokens that systems issue, for all processes, and allow one refresh at a time."""

import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from django.db import OperationalError, transaction
from django.db.models import F
from django.utils import timezone

from audit.entries.append import NewEntry, append_entries
from config_schema.errors import SettingsInvalid
from connectors.auth.refresh_tokens import IssuedTokens, RefreshClaim, TokensUnreadable
from connectors.registry import find_refresh_key
from database.clock import read_clock
from database.connection import release_connection
from database.encryption.at_rest import CannotDecrypt, EncryptedJSONField
from sync.models import Connection, RefreshedToken

logger = logging.getLogger("hub.deliver")

# Seconds between attempts to store a token: the system does not accept the one before it any more.
STORE_PAUSES = (0.1, 0.5, 2.0)
_TOKENS: EncryptedJSONField = RefreshedToken._meta.get_field("tokens")


class StoredRefreshTokens:
    """`connectors.auth.refresh_tokens.RefreshTokenStore` in the database."""

    def claim_refresh(self, key: str, seconds: float) -> RefreshClaim | None:
        """Claim the only refresh for `seconds`.

        1. Insert the row if there is none.
        2. Lock it, and mark it as busy unless another process refreshes.

        Raises TokensUnreadable if the stored tokens are damaged, or their key is not among SEALING_KEYS.
        """
        digest = RefreshedToken.digest_key(key)
        RefreshedToken.objects.bulk_create([RefreshedToken(key=digest)], ignore_conflicts=True)
        claim = None
        with transaction.atomic():
            row = RefreshedToken.objects.select_for_update().filter(pk=digest).first()
            # Not the clock of this machine: another machine may have made the claim.
            now = read_clock()
            if row is not None and (row.busy_until is None or row.busy_until <= now):
                until = (now + timedelta(seconds=seconds)).timestamp()
                claim = RefreshClaim(key, until, _read_tokens(row), row.renewals)
                RefreshedToken.objects.filter(pk=digest).update(busy_until=_end_of(claim))
        # The request may take long.
        release_connection()
        return claim

    def finish_refresh(self, claim: RefreshClaim, issued: IssuedTokens | None) -> None:
        """End a claimed refresh. Tokens are stored with an audit entry in one commit.

        Logs an error if they cannot be stored: the access token is usable all the same, until it expires.
        """
        for pause in (*STORE_PAUSES, None):
            try:
                _finish_refresh(claim, issued)
            except OperationalError as error:
                release_connection()
                if pause is None:
                    logger.error("a refreshed token could not be stored: %s", type(error).__name__)
                    return
                time.sleep(pause)
            else:
                return


def _read_tokens(row: RefreshedToken) -> IssuedTokens | None:
    try:
        tokens: IssuedTokens | None = row.tokens
    except CannotDecrypt as error:
        raise TokensUnreadable from error
    return tokens


def _finish_refresh(claim: RefreshClaim, issued: IssuedTokens | None) -> None:
    rows = RefreshedToken.objects.filter(pk=RefreshedToken.digest_key(claim.key), renewals=claim.renewals)
    if issued is None:
        # After the end of this claim another process may have made one.
        rows.filter(busy_until=_end_of(claim)).update(busy_until=None)
    else:
        connections = _find_connections(claim.key)
        now = timezone.now()
        with transaction.atomic():
            tokens = _TOKENS.encrypt_for(RefreshedToken(RefreshedToken.digest_key(claim.key)), issued)
            values = {"tokens": tokens, "busy_until": None, "renewed_at": now}
            if rows.update(**values, renewals=F("renewals") + 1):
                entries = [
                    NewEntry(f"setting:connection:{key}", "connection.credentials-renewed")
                    for key in connections
                ]
                append_entries(*entries, at=now)
    release_connection()


def _end_of(claim: RefreshClaim) -> datetime:
    return datetime.fromtimestamp(claim.until, UTC)


def _find_connections(key: str) -> Sequence[int]:
    """Return the keys of the connections with this refresh token."""
    stored = Connection.objects.filter(authentication__scheme="oauth2-refresh-token").order_by("pk")
    return [pk for pk in stored.values_list("pk", flat=True) if _refresh_key(pk) == key]


def _refresh_key(pk: int) -> str | None:
    """Return the key of a connection's refresh token; None if it cannot be read."""
    try:
        row = Connection.objects.get(pk=pk)
        return find_refresh_key(row.connector, row.base_url, row.authentication, row.credentials or {})
    except (CannotDecrypt, SettingsInvalid, KeyError, Connection.DoesNotExist):
        return None
