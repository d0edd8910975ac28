"""Mappings whose records refer to the records of other entities, and entities that refer to each other."""

from datetime import timedelta
from typing import Any

from django.utils import timezone

from sync.attempts.delivery_run import run_delivery
from sync.deliveries.routes import resolved_routes
from sync.execution.executor import run_due_deliveries
from sync.models import AwaitedRecord, Delivery, MappingVersion, Route
from sync.rechecks.due_rechecks import run_rechecks
from tests.support.hub import Hub

MEMBERS = {"path": "entity.members", "linked": "USER"}
OWNER = {"path": "linked('USER', entity.ownerId)"}
MANAGER = {"path": "entity.managerId", "linked": "USER"}
LEAVE_OUT = {"when_missing": "leave_out"}


def set_field(entity_type: str, name: str, rule: Any, *, wait_minutes: int = 15) -> None:
    """Add a field to the mapping of an entity type. `wait_minutes`: for the records that it refers to."""
    mapping = Route.objects.get(source__slug="aurora", entity_type=entity_type).mapping_id
    version = MappingVersion.objects.get(mapping=mapping)
    version.declaration["fields"][name] = rule
    version.declaration["reference_wait_minutes"] = wait_minutes
    MappingVersion.objects.filter(pk=version.pk).update(declaration=version.declaration)
    resolved_routes.invalidate()


def add_user(hub: Hub, key: str, **attributes: Any) -> str:
    """Create a user in the identity service, without a webhook. Returns the id."""
    emails = [{"address": f"{key.lower()}@example.com", "verified": True}]
    hub.identity.directory.create_record(
        "users", {"id": key, "username": key, "emails": emails, **attributes}
    )
    return key


def add_group(hub: Hub, key: str, members: list[str]) -> str:
    """Create a group in the identity service, without a webhook. Returns the id."""
    hub.identity.directory.create_record("groups", {"id": key, "name": key, "members": members})
    return key


def change_members(hub: Hub, key: str, members: list[str]) -> None:
    """Replace the members of a group in the identity service, without a webhook."""
    hub.identity.directory.update_record("groups", key, {"members": members}, replaces=False)


def tell(hub: Hub, entity_type: str, key: str, event_type: str = "UPDATE") -> str:
    """Post the webhook of an entity, and wait for what follows its answer. Returns the code of the answer."""
    answer = hub.post_signed({"id": key, "entityType": entity_type, "eventType": event_type})
    hub.wait_until_quiet()
    return str(answer.json().get("code", "done"))


def delivery_of(key: str) -> Delivery:
    """Return the newest delivery of an entity."""
    return Delivery.objects.filter(entity_id=key).latest("pk")


def waits_for() -> list[tuple[str, str]]:
    """Return each wait: the entity whose delivery waits, and the one that it waits for."""
    return sorted((wait.delivery.entity_id, wait.entity_id) for wait in AwaitedRecord.objects.all())


def run_again(key: str) -> str:
    """Run the newest delivery of an entity, whatever the time of its next attempt. Returns its code."""
    Delivery.objects.filter(pk=delivery_of(key).pk).update(due_at=timezone.now() - timedelta(seconds=5))
    run_delivery(delivery_of(key).pk)
    return delivery_of(key).code


def end_wait_of(key: str) -> None:
    """Let the newest delivery of an entity be as old as the wait of its mapping."""
    began = timezone.now() - timedelta(minutes=16)
    Delivery.objects.filter(pk=delivery_of(key).pk).update(opened_at=began)


def record_of(hub: Hub, collection: str, key: str) -> dict[str, Any] | None:
    """Return the shop's record of an entity; None if it has none."""
    found = [record for record in hub.shop.list_records(collection) if record.get("external_id") == key]
    return found[0] if found else None


def customer_id(hub: Hub, key: str) -> str:
    """Return the id of a user's record in the shop."""
    record = record_of(hub, "customers", key)
    assert record is not None
    return str(record["id"])


def members_of(hub: Hub, key: str = "TEAM") -> Any:
    """Return the members of a group's record in the shop; None if it has no record."""
    record = record_of(hub, "segments", key)
    return None if record is None else record["members"]


def run_rounds(hub: Hub, number: int = 3) -> int:
    """Do a worker's rounds, without the time between them. Returns the number of re-checks that began."""
    begun = 0
    for _ in range(number):
        AwaitedRecord.objects.exclude(due_at=None).update(due_at=timezone.now() - timedelta(seconds=1))
        begun += run_rechecks()
        run_due_deliveries()
        hub.wait_until_quiet()
    return begun
