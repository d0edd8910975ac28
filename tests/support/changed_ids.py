"""People of the hub and of the shop, and changes of the shop's numbers by its own page."""

from collections.abc import Sequence
from typing import Any

import requests
from django.utils import timezone

from sync.models import Link, Route
from tests.support.hub import Hub

FIELD = "external_id"


def create_people(hub: Hub, number: int) -> list[str]:
    """Create people in the identity service, and let the hub create their records. Returns their ids."""
    people = [f"PERSON{count:03}" for count in range(number)]
    for user in people:
        emails = [{"address": f"{user.lower()}@example.com", "verified": True}]
        hub.identity.directory.create_record("users", {"id": user, "username": user, "emails": emails})
        assert post_event(hub, user, "CREATE")[0] == 200
    return people


def seed_people(hub: Hub, number: int) -> list[str]:
    """Create people with records and proven links, without a webhook: for many. Returns their ids."""
    route = Route.objects.get(source__slug="aurora", entity_type="USER")
    people = [f"PERSON{count:03}" for count in range(number)]
    links = []
    for user in people:
        emails = [{"address": f"{user.lower()}@example.com", "verified": True}]
        hub.identity.directory.create_record("users", {"id": user, "username": user, "emails": emails})
        values = {FIELD: user, "email": emails[0]["address"]}
        record = hub.shop.catalogue.create_record("customers", values)
        links.append(
            Link(
                identity_id=route.identity_id,
                target_id=route.target_id,
                entity_type="USER",
                entity_id=user,
                record_id=str(record["id"]),
                applied_at=timezone.now(),
                external_id_field=FIELD,
            )
        )
    Link.objects.bulk_create(links)
    return people


def post_event(hub: Hub, user: str, event_type: str = "UPDATE") -> tuple[int, dict[str, Any]]:
    """Report an event of a person. Returns the status of the answer and its only result."""
    answer = hub.post_signed({"id": user, "entityType": "USER", "eventType": event_type})
    return answer.status_code, answer.json()["results"][0]


def change_ids(hub: Hub, kind: str) -> None:
    """Press the button of this change on the page of the shop."""
    answer = requests.post(f"{hub.shop.url}/ids", data={"kind": kind}, timeout=60)
    assert answer.status_code == 200, answer.text
    assert "changed." in answer.text


def records_of(hub: Hub, people: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the people's records by external id; nobody has two."""
    own = [record for record in hub.shop.list_records("customers") if record[FIELD] in people]
    by_id = {record[FIELD]: record for record in own}
    assert len(own) == len(by_id), "nobody has two records"
    return by_id


def record_ids(hub: Hub, people: Sequence[str]) -> dict[str, str]:
    """Return the number of each person's record in the shop."""
    return {user: str(record["id"]) for user, record in records_of(hub, people).items()}


def linked_ids(people: Sequence[str]) -> dict[str, str]:
    """Return the number of the record that is linked to each person."""
    return dict(Link.objects.filter(entity_id__in=people).values_list("entity_id", "record_id"))


def exchange_links(people: Sequence[str]) -> None:
    """Let the links of each two people name each other's records, as a statement of SQL could."""
    links = list(Link.objects.filter(entity_id__in=people).order_by("pk"))
    for one, other in zip(links[::2], links[1::2], strict=False):
        Link.objects.filter(pk=one.pk).update(record_id=other.record_id)
        Link.objects.filter(pk=other.pk).update(record_id=one.record_id)
