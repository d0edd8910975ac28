"""A person whose record in the shop has to be found, in tests of how records are matched."""

from typing import Any

from sync.models import MATCH_HELD_CODE, Attempt, Delivery, Finding, Link, MappingVersion, Route
from sync.planning.record_matching import MatchingPolicy
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


MALLORY = "MALLORY1"


def a_user(hub: Hub, *emails: tuple[str, bool], user: str = MALLORY) -> None:
    """Create a person with these addresses, each with whether it is verified."""
    listed = [{"address": address, "verified": is_verified} for address, is_verified in emails]
    hub.identity.directory.create_record("users", {"id": user, "username": user.lower(), "emails": listed})


def a_customer(hub: Hub, email: str, external_id: str | None = None) -> str:
    """Create a record of the shop. Returns its id."""
    fields = {"email": email, "external_id": external_id}
    return str(hub.shop.catalogue.create_record("customers", fields)["id"])


def post(hub: Hub, user: str = MALLORY, event_type: str = "UPDATE", **fields: Any) -> tuple[int, str]:
    """Post a signed webhook. Returns the HTTP status, and the status of the outcome or the code of the failure."""
    answer = hub.post_signed({"id": user, "entityType": "USER", "eventType": event_type, **fields})
    document = answer.json()
    return answer.status_code, document.get("code") or document["status"]


def follow(policy: MatchingPolicy) -> None:
    Route.objects.filter(source__slug="aurora").update(matching=policy.value)


def verify_by(path: str) -> None:
    """Take the addresses at a path as verified ones: one person can then match several records."""
    newest = MappingVersion.objects.filter(mapping__routes__source__slug="aurora")
    newest = newest.filter(mapping__routes__entity_type="USER").latest("number")
    declaration = newest.declaration
    declaration["match"]["verified"]["new"]["email"] = {"path": path}
    MappingVersion.objects.create(mapping=newest.mapping, number=newest.number + 1, declaration=declaration)


def bound_record(user: str = MALLORY) -> str | None:
    """Return the record that a person's link names."""
    return Link.objects.filter(entity_id=user).values_list("record_id", flat=True).first()


def candidates_of(user: str = MALLORY) -> list[str]:
    """Return the records that are stored with the newest attempt of a person."""
    document = Attempt.objects.filter(delivery__entity_id=user).latest("pk").stored_finding(Finding.CHANGE)
    return [candidate["record"] for candidate in document["candidates"]]
