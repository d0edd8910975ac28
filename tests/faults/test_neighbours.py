"""Promise I11: one entity that hangs until the deadline keeps a thread busy, and nobody else waiting.

How long the others take is not timed. They are shown to have ended while the one that hangs was still running.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections

from sync.attempts import breaker_feedback
from sync.models import Breaker, Connection, Delivery
from tests.faults.variants.process_variants import environment
from tests.support.hub import Hub
from tests.support.processes.workers import wait_until, worker
from tests.support.unfinished_deliveries import close_what_is_left
from webhooks.models import State

pytestmark = pytest.mark.faults

HANGS = "HANGS"
OTHERS = 99
COPIES = 12  # webhooks for the one that hangs: more than a worker has threads
THREADS = 4
FAILURES = 3


@pytest.fixture
def hanging(hub: Hub) -> Iterator[Hub]:
    """The hub, whose identity service never answers when it is asked for one person."""
    Connection.objects.update(breaker_failures=FAILURES)
    hub.identity.faults.add("hang", path=f"/api/users/{HANGS}", seconds=60)
    yield hub
    hub.identity.faults.clear()
    close_what_is_left()


def add(hub: Hub, users: Sequence[str]) -> None:
    for user in users:
        emails = [{"address": f"{user.lower()}@example.com", "verified": True}]
        hub.identity.directory.create_record(
            "users", {"id": user, "username": user.lower(), "emails": emails}
        )


def tell(hub: Hub, user: str, respond: Any = "ack") -> int:
    body = {"id": user, "entityType": "USER", "eventType": "CREATE", "respond": respond}
    return int(hub.post(body).status_code)


def others() -> list[str]:
    return [f"PERSON{number}" for number in range(OTHERS)]


def is_asked_for(hub: Hub, times: int = 1) -> bool:
    """Whether so many requests for the one that hangs are open at the identity service."""
    return waiting_requests(hub) >= times


def waiting_requests(hub: Hub) -> int:
    return sum(each["ended"] is None and each["path"].endswith(HANGS) for each in hub.identity.read_journal())


def arrived(hub: Hub) -> int:
    return sum(each["email"].startswith("person") for each in hub.shop.list_records("customers"))


def states() -> set[str]:
    """Of the others."""
    return set(Delivery.objects.exclude(entity_id=HANGS).values_list("state", flat=True))


def send_hanging_then_others(hub: Hub) -> None:
    """The worker has it in hand before the others come; its source is impatient and says it again and again."""
    add(hub, [HANGS, *others()])
    assert tell(hub, HANGS) == 202
    wait_until(lambda: is_asked_for(hub))
    for _ in range(COPIES):
        assert tell(hub, HANGS) == 202
    for user in others():
        assert tell(hub, user) == 202


@contextmanager
def small_worker(settings: Any, folder: Path, variant: str | None = None) -> Iterator[None]:
    settings.WAKE_WORKERS = settings.LEFT_TO_WORKERS
    variables = environment(folder, variant) | {"DELIVERY_THREADS": str(THREADS)}
    with worker(0.2, **variables):
        yield


@pytest.mark.worker_processes
def test_a_worker_delivers_all_others_while_one_entity_hangs(
    hanging: Hub, tmp_path: Path, settings: Any
) -> None:
    Connection.objects.update(deadline_seconds=30)
    with small_worker(settings, tmp_path, None):
        send_hanging_then_others(hanging)
        wait_until(lambda: arrived(hanging) == OTHERS)
        wait_until(lambda: states() == {State.SUCCEEDED})
        assert waiting_requests(hanging) == 1, (
            "the one that hangs holds more than one thread, or none any more"
        )
        assert Delivery.objects.filter(entity_id=HANGS, state=State.RUNNING).count() == 1


@contextmanager
def without_constraint() -> Iterator[None]:
    """A database that lets several deliveries of a subject run."""
    [constraint] = [
        each for each in Delivery._meta.constraints if each.name == "one_running_delivery_a_subject"
    ]
    with connection.schema_editor(atomic=False) as editor:
        editor.remove_constraint(Delivery, constraint)
    try:
        yield
    finally:
        close_what_is_left()
        with connection.schema_editor(atomic=False) as editor:
            editor.add_constraint(Delivery, constraint)


@pytest.mark.worker_processes
def test_a_hub_that_runs_a_subject_many_times_is_caught_by_its_neighbours(
    hanging: Hub, tmp_path: Path, settings: Any
) -> None:
    Connection.objects.update(deadline_seconds=30)
    with without_constraint(), small_worker(settings, tmp_path, "all-at-once"):
        send_hanging_then_others(hanging)
        wait_until(lambda: is_asked_for(hanging, THREADS))
        stopped_at = arrived(hanging)
        time.sleep(1)
        assert arrived(hanging) == stopped_at < OTHERS


def at_once(calls: Sequence[Callable[[], Any]], clients: int) -> list[Any]:
    def one(call: Callable[[], Any]) -> Any:
        try:
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(clients) as threads:
        return list(threads.map(one, calls))


def test_sources_that_wait_are_answered_while_one_entity_hangs(hanging: Hub) -> None:
    """In the web process: more webhooks for the one that hangs than its executor has threads, each waited for."""
    Connection.objects.update(deadline_seconds=30)
    add(hanging, [HANGS, *others()])
    patient = {"mode": "result", "wait": 20_000}
    impatient = threading.Thread(
        target=at_once, args=([lambda: tell(hanging, HANGS, patient) for _ in range(24)], 24)
    )
    impatient.start()
    wait_until(lambda: is_asked_for(hanging))
    answers = at_once([lambda user=user: tell(hanging, user, patient) for user in others()], 4)
    assert answers == [200] * OTHERS
    assert waiting_requests(hanging) == 1
    assert impatient.is_alive(), "the one that hangs had ended before the others"
    hanging.identity.faults.clear()
    impatient.join(20)


# The breaker


def hang_among_others(hub: Hub, count: int) -> None:
    """So many deadlines that pass for the one entity, others delivered between them."""
    Connection.objects.update(deadline_seconds=1)  # others end well within, on a slow machine too
    users = others()[:count]
    add(hub, [HANGS, *users])
    for user in users:
        assert tell(hub, HANGS, "result") == 424
        assert tell(hub, user, "result") == 200


def test_one_entity_that_hangs_among_others_opens_no_breaker(hanging: Hub) -> None:
    hang_among_others(hanging, FAILURES + 2)
    assert not Breaker.objects.filter(open_until__isnull=False).exists()


def test_a_breaker_that_forgets_successes_is_caught(hanging: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker_feedback, "record_success", lambda _: None)
    with pytest.raises(AssertionError):
        hang_among_others(hanging, FAILURES + 2)
    assert Breaker.objects.filter(open_until__isnull=False).exists()
