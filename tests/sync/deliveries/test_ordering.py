"""Promise I9: one writer for each subject, many subjects at once; fails without the database's constraint."""

import itertools
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection, connections
from django.test import Client

from sync.deliveries import claims, creation, ordering
from sync.models import Call, Delivery
from tests.support.hub import Hub

USERS, CHANGES, CLIENTS = 14, 5, 16  # without the constraint, tens of writes overlap
CONSTRAINT = "one_running_delivery_a_subject"


@pytest.mark.slow
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


@pytest.mark.slow
def test_without_the_constraint_the_same_storm_overlaps(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    # The look before the claim spares errors; alone it must not be trusted.
    monkeypatch.setattr(claims, "lock_open_siblings", open_but_running)
    monkeypatch.setattr(
        creation,
        "read_subject_state",
        lambda delivery: replace(ordering.read_subject_state(delivery), is_free=True),
    )
    with without_constraint():
        storm(hub)
        hub.wait_until_shop_is_idle()
        assert overlaps(shop_intervals(hub)) > 0


def open_but_running(delivery: Delivery) -> list[ordering.OpenSibling]:
    return [sibling for sibling in ordering.lock_open_siblings(delivery) if sibling.state != "running"]


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


@contextmanager
def without_constraint() -> Iterator[None]:
    constraint = next(
        constraint for constraint in Delivery._meta.constraints if constraint.name == CONSTRAINT
    )
    with connection.schema_editor() as editor:
        editor.remove_constraint(Delivery, constraint)
    try:
        yield
    finally:
        Delivery.objects.filter(state__in=["pending", "running", "retrying"]).update(state="dead", token=None)
        with connection.schema_editor() as editor:
            editor.add_constraint(Delivery, constraint)
