"""A person whose record in the shop has to be found, in tests of how records are matched."""

from typing import Any

from sync.models import Attempt, Finding, Link, MappingVersion, Route
from sync.planning.record_matching import MatchingPolicy
from tests.support.hub import Hub

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
