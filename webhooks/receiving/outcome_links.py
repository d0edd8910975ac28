"""Signed links under which a source can ask for the outcome of its webhook later. Each is valid for a day."""

from datetime import timedelta

from django.core import signing

from webhooks.catalogue.reference import from_reference
from webhooks.models import Event

LINK_LIFETIME = timedelta(days=1)
_SALT = "outcome"


def outcome_path(event: Event) -> str:
    """Return the signed path of an event's outcome, for a `Location` header."""
    return f"/outcomes/{signing.TimestampSigner(salt=_SALT).sign(event.reference)}"


def find_event_by_token(token: str) -> Event | None:
    """Return the event of a token that was signed less than a day ago, or None for any other text."""
    try:
        reference = signing.TimestampSigner(salt=_SALT).unsign(token, max_age=LINK_LIFETIME)
        return Event.objects.select_related("source").filter(uuid=from_reference(reference)).first()
    except (signing.BadSignature, ValueError):
        return None
