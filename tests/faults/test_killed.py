"""Promises I1 and I3: kill -9 at the worst moment. Nothing acknowledged is lost, no request is without its row."""

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.identity import IdentityService
from sandbox.shop import ShopService
from tests.support.hub import ANNA, EXAMPLE, SIGNING_SECRET
from tests.support.processes.hub_processes import RunningHub, running_hub

ACK = json.dumps(json.loads(EXAMPLE) | {"respond": "ack"}).encode()


@pytest.fixture
def identity() -> Iterator[IdentityService]:
    with IdentityService(secret=SIGNING_SECRET) as service:
        yield service


@pytest.fixture
def shop() -> Iterator[ShopService]:
    with ShopService() as service:
        yield service
        service.faults.clear()


@pytest.fixture
def hub(tmp_path: Path, identity: IdentityService, shop: ShopService) -> Iterator[RunningHub]:
    with running_hub(tmp_path, identity, shop, LEASE_SECONDS="2") as hub:
        yield hub


@pytest.mark.slow
def test_a_kill_after_the_shops_change_and_before_our_answer_makes_the_change_once_and_records_it(
    hub: RunningHub, identity: IdentityService, shop: ShopService
) -> None:
    change_email(identity, "anna.killed@example.com")
    shop.faults.add("slow", seconds=30, methods=["PATCH", "PUT", "POST"], applied=True, times=1)
    in_background(lambda: hub.send_signed(EXAMPLE, "msg_killed"))
    wait_until(lambda: email(shop) == "anna.killed@example.com")
    hub.kill()
    shop.faults.clear()
    hub.start()
    hub.manage("deliver_due")

    attempts = hub.rows("SELECT number, outcome, code, key FROM sync_attempt ORDER BY number")
    assert [attempt[:3] for attempt in attempts] == [
        (1, "unknown", "interrupted"),
        (2, "unchanged", "unchanged"),
    ]
    [write] = shop.read_journal(only_writes=True)
    assert write["key"].startswith(f"{uuid.UUID(str(attempts[0][3]))}-")
    calls = hub.rows(
        "SELECT a.number, c.status FROM sync_call c JOIN sync_attempt a ON a.id = c.attempt_id"
        f" WHERE c.is_write AND c.key = '{write['key']}'"
    )
    assert calls == [(1, None)]
    assert hub.rows("SELECT state FROM webhooks_event") == [("unchanged",)]


@pytest.mark.slow
def test_a_source_that_repeats_its_webhook_after_a_kill_gets_the_real_outcome(
    hub: RunningHub, identity: IdentityService, shop: ShopService
) -> None:
    change_email(identity, "anna.again@example.com")
    shop.faults.add("slow", seconds=30, methods=["PATCH", "PUT", "POST"], applied=True, times=1)
    in_background(lambda: hub.send_signed(EXAMPLE, "msg_again"))
    wait_until(lambda: email(shop) == "anna.again@example.com")
    hub.kill()
    shop.faults.clear()
    hub.start()
    hub.manage("deliver_due")
    answer = hub.send_signed(EXAMPLE, "msg_again")
    assert (answer.status, json.loads(answer.body)["status"]) == (200, "unchanged")
    assert len(shop.read_journal(only_writes=True)) == 1
    assert hub.rows("SELECT count(*) FROM webhooks_event") == [(1,)]
    assert hub.rows("SELECT count(*) FROM webhooks_receipt") == [(2,)]


@pytest.mark.slow
def test_webhooks_acknowledged_before_a_kill_are_delivered_after_it(
    hub: RunningHub, identity: IdentityService, shop: ShopService
) -> None:
    people = [f"PERSON{number}" for number in range(12)]
    for person in people:
        identity.directory.create_record(
            "users", {"id": person, "username": person.lower(), "emails": emails(person)}
        )
    shop.faults.add("slow", seconds=0.5)
    for person in people:
        assert hub.send(json.dumps(json.loads(ACK) | {"id": person}).encode()).status == 202
    hub.kill()
    shop.faults.clear()
    assert hub.rows("SELECT count(*) FROM webhooks_event") == [(len(people),)]
    assert len(customers(shop)) < len(people), "the kill came too late to show anything"
    hub.start()
    hub.manage("deliver_due")
    assert {record["external_id"]: record["email"] for record in customers(shop)} == {
        person: f"{person.lower()}@example.com" for person in people
    }
    assert set(hub.rows("SELECT state FROM webhooks_event")) <= {("succeeded",), ("unchanged",)}
    assert all(entry["key"] in recorded_keys(hub) for entry in shop.read_journal(only_writes=True))


def change_email(identity: IdentityService, address: str) -> None:
    identity.directory.update_record(
        "users", ANNA, {"emails": [{"address": address, "verified": True}]}, replaces=False
    )


def emails(person: str) -> list[dict[str, Any]]:
    return [{"address": f"{person.lower()}@example.com", "verified": True}]


def email(shop: ShopService) -> str | None:
    return next(
        (
            customer["email"]
            for customer in shop.list_records("customers")
            if customer.get("external_id") == ANNA
        ),
        None,
    )


def customers(shop: ShopService) -> list[dict[str, Any]]:
    return [
        customer
        for customer in shop.list_records("customers")
        if str(customer.get("external_id")).startswith("PERSON")
    ]


def recorded_keys(hub: RunningHub) -> set[str]:
    return {str(row[0]) for row in hub.rows("SELECT key FROM sync_call WHERE is_write")}


def in_background(send: Callable[[], object]) -> None:
    """Send on another thread and ignore that the connection is cut."""

    def send_ignoring_cuts() -> None:
        try:
            send()
        except (OSError, EOFError):
            return

    threading.Thread(target=send_ignoring_cuts, daemon=True).start()


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 15
    while not holds():
        assert time.monotonic() < until, "the condition did not become true in time"
        time.sleep(0.02)
