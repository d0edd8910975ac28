"""A delivery that is held because it is not certain which record of the shop belongs to its person."""

from sync.models import MATCH_HELD_CODE, Delivery
from tests.support.hub import Hub
from webhooks.models import State

HELD_USER = "MALLORY1"
STRANGER_EMAIL = "grace.holloway@example.com"
"""The shop has an unlinked record with this address."""


def hold_match(hub: Hub, user: str = HELD_USER, email: str = STRANGER_EMAIL) -> Delivery:
    """Create a person with an unverified address that a record of the shop has, and post a webhook."""
    emails = [{"address": email, "verified": False}]
    hub.identity.directory.create_record("users", {"id": user, "username": user.lower(), "emails": emails})
    return hold_again(hub, user)


def hold_again(hub: Hub, user: str = HELD_USER) -> Delivery:
    """Post another webhook of the person, which is held too."""
    answer = hub.post_signed({"id": user, "entityType": "USER", "eventType": "UPDATE"})
    assert answer.status_code == 202
    return Delivery.objects.filter(entity_id=user, state=State.HELD, code=MATCH_HELD_CODE).latest("pk")


def stranger_record(hub: Hub) -> str:
    """Return the id of the shop's record with the stranger's address."""
    [record] = [r for r in hub.shop.list_records("customers") if r["email"] == STRANGER_EMAIL]
    return str(record["id"])
