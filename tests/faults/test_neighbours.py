"""Promise I11: one entity that hangs until the deadline occupies one thread and delays no other delivery.

The tests do not measure time: the other deliveries must have ended while the one that hangs is still running.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections

from sync.models import Connection, Delivery
from tests.support.hub import Hub
from tests.support.processes.workers import running_workers, wait_until
from tests.support.unfinished_deliveries import close_open_deliveries
from webhooks.models import State

pytestmark = [pytest.mark.faults, pytest.mark.nightly, pytest.mark.concurrent]

HANGS = "HANGS"
OTHERS = 99
COPIES = 12  # webhooks for the one that hangs: more than a worker has threads
THREADS = 4
FAILURES = 3


@pytest.fixture
def hanging(hub: Hub) -> Iterator[Hub]:
    """Yield a hub whose identity service never answers fetches of one person."""
    Connection.objects.update(breaker_failures=FAILURES)
    hub.identity.faults.add("hang", path=f"/api/users/{HANGS}", seconds=60)
    yield hub
    hub.identity.faults.clear()
    close_open_deliveries()


def create_people(hub: Hub, users: Sequence[str]) -> None:
    for user in users:
        emails = [{"address": f"{user.lower()}@example.com", "verified": True}]
        hub.identity.directory.create_record(
            "users", {"id": user, "username": user.lower(), "emails": emails}
        )


def send_webhook(hub: Hub, user: str, respond: Any = "ack") -> int:
    body = {"id": user, "entityType": "USER", "eventType": "CREATE", "respond": respond}
    return int(hub.post(body).status_code)


def others() -> list[str]:
    return [f"PERSON{number}" for number in range(OTHERS)]


def is_asked_for(hub: Hub, times: int = 1) -> bool:
    """Return True if at least `times` requests for the entity that hangs are open at the identity service."""
    return waiting_requests(hub) >= times


def waiting_requests(hub: Hub) -> int:
    return sum(
        request["ended"] is None and request["path"].endswith(HANGS)
        for request in hub.identity.read_journal()
    )


def arrived(hub: Hub) -> int:
    return sum(customer["email"].startswith("person") for customer in hub.shop.list_records("customers"))


def states() -> set[str]:
    """Return the states of the deliveries of all other entities."""
    return set(Delivery.objects.exclude(entity_id=HANGS).values_list("state", flat=True))


def send_hanging(hub: Hub) -> None:
    """Send the entity that hangs, wait until it is fetched, and send it COPIES more times."""
    create_people(hub, [HANGS, *others()])
    assert send_webhook(hub, HANGS) == 202
    wait_until(lambda: is_asked_for(hub))
    for _ in range(COPIES):
        assert send_webhook(hub, HANGS) == 202


def send_others(hub: Hub) -> None:
    for user in others():
        assert send_webhook(hub, user) == 202


@pytest.mark.worker_processes
@pytest.mark.promise("I11")
def test_a_worker_delivers_all_others_while_one_entity_hangs(hanging: Hub, settings: Any) -> None:
    Connection.objects.update(deadline_seconds=30)
    settings.WAKE_WORKERS = settings.LEFT_TO_WORKERS
    with running_workers(0.2, DELIVERY_THREADS=str(THREADS)):
        send_hanging(hanging)
        send_others(hanging)
        wait_until(lambda: arrived(hanging) == OTHERS)
        wait_until(lambda: states() == {State.SUCCEEDED})
        assert waiting_requests(hanging) == 1, (
            "the one that hangs holds more than one thread, or none any more"
        )
        assert Delivery.objects.filter(entity_id=HANGS, state=State.RUNNING).count() == 1


def at_once(calls: Sequence[Callable[[], Any]], clients: int) -> list[Any]:
    def one(call: Callable[[], Any]) -> Any:
        try:
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(clients) as threads:
        return list(threads.map(one, calls))


def test_sources_that_wait_are_answered_while_one_entity_hangs(hanging: Hub) -> None:
    """The web process gets more webhooks for the entity that hangs than its executor has threads; each waits."""
    Connection.objects.update(deadline_seconds=30)
    create_people(hanging, [HANGS, *others()])
    patient = {"mode": "result", "wait": 20_000}
    impatient = threading.Thread(
        target=at_once, args=([lambda: send_webhook(hanging, HANGS, patient) for _ in range(24)], 24)
    )
    impatient.start()
    wait_until(lambda: is_asked_for(hanging))
    answers = at_once([lambda user=user: send_webhook(hanging, user, patient) for user in others()], 4)
    assert answers == [200] * OTHERS
    assert waiting_requests(hanging) == 1
    assert impatient.is_alive(), "the one that hangs had ended before the others"
    hanging.identity.faults.clear()
    impatient.join(60)
