"""Read when the client certificates of connections expire. Each is parsed once, until it is replaced."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from connectors.http.client_certificates import EXPIRY_WARNING, find_certificate_facts
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
    rows = Connection.objects.filter(is_enabled=True, authentication__client_certificate=True)
    found = [
        ExpiringCertificate(row.pk, row.name, expires_at)
        for row in rows.exclude(credentials=None).order_by("id")
        if (expires_at := _find_expiry(row)) is not None
    ]
    return tuple(sorted(found, key=lambda one: (one.expires_at, one.name, one.id))[:MAX_CERTIFICATES])


def _find_expiry(connection: Connection) -> datetime | None:
    credentials = connection.read_credentials()
    certificate = credentials.get("client_certificate") if isinstance(credentials, dict) else None
    return _expiry_of(certificate) if isinstance(certificate, str) else None


@lru_cache(maxsize=MAX_CERTIFICATES)
def _expiry_of(certificate: str) -> datetime | None:
    """Return when a client certificate expires; None if it cannot be read."""
    facts = find_certificate_facts(certificate)
    return facts.expires_at if facts else None
