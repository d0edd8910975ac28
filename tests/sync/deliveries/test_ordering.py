"""Promise I9: one writer for each subject, many subjects at once."""

import itertools
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, connections, transaction
from django.test import Client
from django.utils import timezone

from sync.models import Call, Delivery
from tests.support.builders.history import a_delivery, a_route, an_event
from tests.support.hub import Hub

pytestmark = pytest.mark.concurrent

USERS, CHANGES, CLIENTS = 14, 5, 16


@pytest.mark.nightly
def test_webhooks_of_many_clients_at_once_never_overlap_for_a_user(hub: Hub) -> None:
    users, statuses = storm(hub)
    assert len(statuses) == USERS * CHANGES
    assert set(statuses) <= {200, 202}
    hub.wait_until_idle(60)
    intervals = shop_intervals(hub)
    assert overlaps(intervals) == 0
    assert most_at_a_time(intervals) >= 4
    for user in users:
        newest = hub.identity.directory.get_record("users", user)["emails"][0]["address"]
        assert hub.customer(user)["email"] == newest
    assert Delivery.objects.exclude(state__in=["succeeded", "unchanged"]).count() == 0
    rows = Call.objects.filter(connection__slug="shop").count()
    assert rows == len(hub.shop.read_journal())


def storm(hub: Hub) -> tuple[list[str], list[int]]:
    """Fourteen people change their address five times each and say so every time, through sixteen clients."""
    users = [f"PERSON{number}" for number in range(USERS)]
    for user in users:
        hub.identity.directory.create_record(
            "users", {"id": user, "username": user.lower(), "emails": emails(user, 0)}
        )
    hub.shop.faults.add("slow", seconds=0.1)
    blocks = [users[start : start + 7] for start in range(0, USERS, 7)]
    changes = [(hub, user, number) for block in blocks for number in range(1, CHANGES + 1) for user in block]
    with ThreadPoolExecutor(CLIENTS) as clients:
        statuses = list(clients.map(change_and_tell, changes))
    return users, statuses


def emails(user: str, number: int) -> list[dict[str, Any]]:
    return [{"address": f"{user.lower()}.{number}@example.com", "verified": True}]


def change_and_tell(change: tuple[Hub, str, int]) -> int:
    hub, user, number = change
    hub.identity.directory.update_record("users", user, {"emails": emails(user, number)}, replaces=False)
    body = {
        "id": user,
        "entityType": "USER",
        "eventType": "UPDATE",
        "respond": {"mode": "result", "wait": 20000},
    }
    try:
        client = Client(raise_request_exception=False)
        return client.post("/webhooks/aurora-unsigned", body, content_type="application/json").status_code
    finally:
        connections.close_all()


def shop_intervals(hub: Hub) -> dict[str, list[tuple[float, float]]]:
    """Return for each user the intervals in which the shop worked on a write."""
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for entry in hub.shop.read_journal(only_writes=True):
        found[subject(entry)].append((entry["started"], entry["ended"]))
    return found


def subject(entry: dict[str, Any]) -> str:
    return str((entry["entity"] or {}).get("external_id") or entry["path"])


def overlaps(intervals: dict[str, list[tuple[float, float]]]) -> int:
    pairs = (pair for spans in intervals.values() for pair in itertools.combinations(spans, 2))
    return sum(first[0] < second[1] and second[0] < first[1] for first, second in pairs)


def most_at_a_time(intervals: dict[str, list[tuple[float, float]]]) -> int:
    steps = sorted(
        step for spans in intervals.values() for start, end in spans for step in ((start, 1), (end, -1))
    )
    return max(itertools.accumulate(change for _, change in steps), default=0)


@pytest.mark.django_db
@pytest.mark.promise("I9")
def test_the_database_refuses_a_second_running_delivery_of_a_subject() -> None:
    event = an_event(1, entity_id="USR-1")
    route = a_route(event.source)
    running = {"state": "running", "due_at": None, "lease_until": timezone.now()}
    a_delivery(event, route, token=uuid4(), **running)
    a_delivery(an_event(2, source=event.source, entity_id="USR-2"), route, token=uuid4(), **running)
    second = an_event(3, source=event.source, entity_id="USR-1")
    with pytest.raises(IntegrityError, match="one_running_delivery|UNIQUE"), transaction.atomic():
        a_delivery(second, route, token=uuid4(), **running)
