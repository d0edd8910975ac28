"""Read when the client certificates of connections expire. Each is decrypted and parsed once, until it is replaced."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from django.db.models import BinaryField, ExpressionWrapper, F

from connectors.http.client_certificates import EXPIRY_WARNING, find_certificate_facts
from database.encryption.at_rest import CannotDecrypt, decrypt
from sync.models import Connection

MAX_CERTIFICATES = 100


@dataclass(frozen=True, slots=True)
class ExpiringCertificate:
    """The client certificate of an enabled connection. `id` and `name` belong to the connection."""

    id: int
    name: str
    expires_at: datetime

    def is_ending(self, at: datetime) -> bool:
        """Return True if it has not expired, and will in the next 30 days."""
        return at < self.expires_at <= at + EXPIRY_WARNING

    def days_left(self, at: datetime) -> int:
        """Return the days until it expires, of which a part counts as one."""
        return -((at - self.expires_at) // timedelta(days=1))


def read_certificates() -> tuple[ExpiringCertificate, ...]:
    """Return the client certificates, the first to expire first, at most 100: one statement. Leaves out those that
    cannot be read, of which each request says so.
    """
    stored = Connection.objects.filter(is_enabled=True, authentication__client_certificate=True)
    # Decrypted here, because one value that cannot be decrypted would hide all others.
    encrypted = ExpressionWrapper(F("credentials"), output_field=BinaryField())
    rows = stored.exclude(credentials=None).annotate(encrypted=encrypted).order_by("id")
    found = [
        ExpiringCertificate(pk, name, expires_at)
        for pk, name, value in rows.values_list("id", "name", "encrypted")
        if (expires_at := _find_expiry(bytes(value))) is not None
    ]
    return tuple(sorted(found, key=lambda one: (one.expires_at, one.name, one.id))[:MAX_CERTIFICATES])


def _find_expiry(encrypted: bytes) -> datetime | None:
    try:
        return _expiry_of(encrypted)
    except CannotDecrypt:
        # Not cached: the key may come back.
        return None


@lru_cache(maxsize=MAX_CERTIFICATES)
def _expiry_of(encrypted: bytes) -> datetime | None:
    """Return when the client certificate of encrypted credentials expires; None without a readable one. Raises
    CannotDecrypt.
    """
    credentials = json.loads(decrypt(encrypted))
    certificate = credentials.get("client_certificate") if isinstance(credentials, dict) else None
    facts = find_certificate_facts(certificate) if isinstance(certificate, str) else None
    return facts.expires_at if facts else None
