"""Promise I10: every delivery ends with a state and a code, for seventeen kinds of answers at three steps and a mix of all."""

import itertools
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any

import pytest
from django.db import connections
from django.db.models import Min, QuerySet
from django.test import Client
from django.utils import timezone

from integration_hub.devtools.sandbox_setup import SandboxSystems, seed_configuration
from sync.connectors.contracts import errors
from sync.models import OPEN_STATES, Connection, Delivery, Route
from sync.worker.celery_tasks import CHECK_SECONDS
from tests.faults.moods.expected_answers import TABLE, expected_result
from tests.faults.moods.moody_systems import (
    CREATE,
    MOODS,
    RETRY_AFTER,
    STEPS,
    UPDATE,
    MoodyIdentity,
    MoodyShop,
    person,
)
from tests.faults.variants import mutants
from tests.faults.variants.process_variants import environment
from tests.support.hub import SIGNING_SECRET, Hub
from tests.support.processes.workers import is_celery, running_workers
from tests.support.unfinished_deliveries import close_open_deliveries
from webhooks.catalogue.codes import CATALOGUE
from webhooks.models import Event, State

pytestmark = pytest.mark.faults

DEADLINE = 1.0
MAX_ATTEMPTS = 3
TICK = CHECK_SECONDS if is_celery(os.environ) else 1.0  # between two polls of a worker
# The longest wait of a due delivery even on a slow machine; mostly it is under two ticks.
LATEST = 6.0 + 2 * TICK
SIZES = {"DELIVERY_THREADS": "16", "CONFIGURATION_SECONDS": "1", "ABSENCE_CONFIRM_SECONDS": "0.1"}
# Most deliveries due at once: with more, the test would measure the speed of the machine.
CROWD = 24 if is_celery(os.environ) else 16


@pytest.fixture(scope="module")
def systems() -> Iterator[tuple[MoodyIdentity, MoodyShop]]:
    with MoodyIdentity(SIGNING_SECRET) as identity, MoodyShop() as shop:
        yield identity, shop


@pytest.fixture
def moody(database: None, systems: tuple[MoodyIdentity, MoodyShop]) -> Iterator[Hub]:
    """Yield a hub that is connected to these systems, with breakers that never open."""
    identity, shop = systems
    for service in systems:
        service.reset()
        service.temper.released.clear()
    seed_configuration(SandboxSystems(identity.url, "identity-token", shop.url, "shop-token", SIGNING_SECRET))
    Connection.objects.update(breaker_failures=10_000, deadline_seconds=DEADLINE)
    Route.objects.update(
        max_attempts=MAX_ATTEMPTS, retry_base_seconds=0.1, retry_cap_seconds=1.0, max_removals=None
    )
    yield Hub(identity, shop, Client(raise_request_exception=False))
    for service in systems:
        service.temper.released.set()
    close_open_deliveries()


def create_person(hub: Hub, user: str) -> None:
    """Create a person and, for the step of an update, a customer with an older address."""
    address = f"{user.lower()}@example.com"
    emails = [{"address": address, "verified": True}]
    hub.identity.directory.create_record("users", {"id": user, "username": user.lower(), "emails": emails})
    if user.startswith(UPDATE):
        hub.shop.catalogue.create_record("customers", {"external_id": user, "email": f"old.{address}"})


def webhook(user: str, mode: str) -> dict[str, Any]:
    return {"id": user, "entityType": "USER", "eventType": "UPDATE", "respond": mode}


def test_the_table_names_all_seventeen_moods_and_only_existing_codes() -> None:
    assert set(TABLE) == set(MOODS)
    assert len(TABLE) == 17
    for step, mood in itertools.product(STEPS, TABLE):
        expected = expected_result(step, mood)
        code = CATALOGUE[expected.code]
        assert (code.owner, code.retryable) == (expected.owner, expected.is_retried), (step, mood)


@pytest.mark.one_database  # on PostgreSQL the mix shows that each of these deliveries ends so
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("mood", TABLE)
def test_every_answer_leads_to_the_expected_state_code_and_retry(moody: Hub, step: str, mood: str) -> None:
    user, is_expected = person(step, mood), expected_result(step, mood)
    create_person(moody, user)
    if is_expected.is_retried:
        Route.objects.update(retry_base_seconds=60, retry_cap_seconds=120)
    answer = moody.post(webhook(user, "result"))
    delivery, attempt = Delivery.objects.get(), Delivery.objects.get().attempts.get()
    assert (delivery.state, delivery.code) == (is_expected.first_state, is_expected.code)
    assert (Event.objects.get().state, attempt.code) == (delivery.state, is_expected.code)
    assert answer.status_code == CATALOGUE[is_expected.code].status
    if is_expected.owner == "nobody":
        assert answer.json()["status"] == is_expected.code
    else:
        assert (answer.json()["code"], answer.json()["retrying"]) == (
            is_expected.code,
            is_expected.is_retried,
        )
    if is_expected.is_retried:
        wait = (delivery.due_at - timezone.now()).total_seconds()
        assert (RETRY_AFTER if mood == "429" else 0) - 0.5 < wait <= 120
        assert delivery.settled_at is None
    else:
        assert delivery.due_at is None
        assert delivery.settled_at is not None


@pytest.mark.one_database
@pytest.mark.parametrize(("status", "good"), [(503, errors.SystemUnavailable), (400, errors.RequestRejected)])
def test_a_hub_that_confuses_two_statuses_is_caught(
    moody: Hub, monkeypatch: pytest.MonkeyPatch, status: int, good: type[errors.ConnectorError]
) -> None:
    wrong = errors.RequestRejected if good is errors.SystemUnavailable else errors.SystemUnavailable
    right = errors.error_for_status
    monkeypatch.setattr(errors, "error_for_status", lambda found: wrong if found == status else right(found))
    user = person(CREATE, str(status))
    create_person(moody, user)
    moody.post(webhook(user, "result"))
    delivery, found = Delivery.objects.get(), expected_result(CREATE, str(status))
    assert (delivery.state, delivery.code) != (found.first_state, found.code)


# The mix


@dataclass
class Watch:
    """A context manager that records how long the oldest due delivery has waited: `waits`, in seconds."""

    waits: list[float] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Watch":
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            first = due().aggregate(first=Min("due_at"))["first"]
            if first is not None:
                self.waits.append((timezone.now() - first).total_seconds())
        connections.close_all()

    @property
    def oldest(self) -> float:
        return max(self.waits, default=0.0)

    @property
    def mostly(self) -> float:
        """Return the 90th percentile of the waits in seconds."""
        return quantiles(self.waits, n=10)[-1]


def people(count: int) -> list[str]:
    """Return the ids of `count` people, of every mood at every step in turn."""
    kinds = list(itertools.product(STEPS, TABLE))
    return [person(*kinds[number % len(kinds)], number) for number in range(count)]


def send(hub: Hub, users: Sequence[str]) -> None:
    """Create all users and post a webhook for each, waiting while more than CROWD deliveries are due."""
    for user in users:
        create_person(hub, user)
    for user in users:
        while due().count() > CROWD:
            time.sleep(0.05)
        assert hub.post(webhook(user, "ack")).status_code == 202


def due() -> QuerySet[Delivery]:
    return Delivery.objects.filter(state__in=[State.PENDING, State.RETRYING], due_at__lte=timezone.now())


def drain(seconds: float) -> int:
    """Wait until no delivery is open, at most `seconds`. Returns the number of open deliveries."""
    until = time.monotonic() + seconds
    while (left := Delivery.objects.filter(state__in=OPEN_STATES).count()) and time.monotonic() < until:
        time.sleep(0.1)
    return left


def differences() -> list[str]:
    """Return deliveries that did not end as the table says, or after another number of attempts."""
    found = []
    rows = Delivery.objects.values_list("entity_id", "state", "code", "attempts_used", "event__state")
    for user, state, code, attempts_used, event_state in rows:
        is_expected = expected_result(*user.split(".")[:2])
        wanted = is_expected.last_result(MAX_ATTEMPTS)
        if (state, code, attempts_used) != wanted or event_state != state:
            found.append(f"{user}: {(state, code, attempts_used)}, not {wanted}; its event {event_state}")
    return found


@pytest.mark.worker_processes
def test_in_a_mix_of_all_answers_each_delivery_ends_as_expected_and_none_is_stuck(
    moody: Hub, tmp_path: Path, settings: Any, is_long: bool
) -> None:
    # With Celery each kind ten times: what counts there is that each delivery runs when it is due.
    users = people(10_000 if is_long else 510 if is_celery(os.environ) else 1_000)
    settings.WAKE_WORKERS = settings.LEFT_TO_WORKERS
    began = time.monotonic()
    with running_workers(TICK, count=2, **SIZES), Watch() as watch:
        send(moody, users)
        stuck = drain(120)
    seconds = time.monotonic() - began
    ended = Counter(Delivery.objects.values_list("state", "code"))
    print(
        f"\n{len(users)} webhooks in {seconds:.0f} s; stuck {stuck}, oldest due {watch.oldest:.1f} s, mostly {watch.mostly:.1f}, {ended}"
    )
    assert stuck == 0
    assert Delivery.objects.count() == len(users)
    assert differences() == []
    assert watch.oldest < LATEST
    assert watch.mostly < 2 * TICK


@pytest.mark.one_database
@pytest.mark.worker_processes
def test_a_hub_whose_retries_are_never_due_is_caught_as_stuck(
    moody: Hub, tmp_path: Path, settings: Any
) -> None:
    settings.WAKE_WORKERS = settings.LEFT_TO_WORKERS
    with running_workers(0.2, **SIZES, **mutants.environment("retry-never-due")):
        send(moody, people(51))
        assert drain(4) > 0


@pytest.mark.one_database
@pytest.mark.worker_processes
def test_a_hub_that_does_not_poll_for_due_deliveries_is_caught_by_the_longest_wait(
    moody: Hub, tmp_path: Path, settings: Any
) -> None:
    settings.WAKE_WORKERS = settings.LEFT_TO_WORKERS
    with running_workers(**SIZES, **environment(tmp_path, "never-looks")), Watch() as watch:
        send(moody, [person(CREATE, "503")])
        drain(LATEST + 1.5)
    assert watch.oldest > LATEST
