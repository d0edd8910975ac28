"""The signed address under which a source can ask later what became of its webhook. Good for a day."""

from datetime import timedelta

from django.core import signing

from webhooks.catalogue.reference import from_reference
from webhooks.models import Event

LASTS = timedelta(days=1)
_SALT = "outcome"


def outcome_path(event: Event) -> str:
    """The path for a `Location` header."""
    return f"/outcomes/{signing.TimestampSigner(salt=_SALT).sign(event.reference)}"


def event_of(token: str) -> Event | None:
    """The event of an address that we signed less than a day ago; None for anything else."""
    try:
        reference = signing.TimestampSigner(salt=_SALT).unsign(token, max_age=LASTS)
        return Event.objects.select_related("source").filter(uuid=from_reference(reference)).first()
    except (signing.BadSignature, ValueError):
        return None
