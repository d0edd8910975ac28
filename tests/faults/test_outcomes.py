"""Promise I10: every delivery ends with a state and a code, for seventeen kinds of answers at three steps and a mix of all."""

import itertools
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from django.db.models import QuerySet
from django.test import Client
from django.utils import timezone

from config_schema.codes.codes import CATALOGUE
from devtools.sandbox_setup import SandboxSystems, seed_configuration
from sync.models import OPEN_STATES, Connection, Delivery, Route
from tests.faults.moods.expected_answers import TABLE, expected_result
from tests.faults.moods.moody_systems import (
    RETRY_AFTER,
    STEPS,
    UPDATE,
    MoodyIdentity,
    MoodyShop,
    person,
)
from tests.support.hub import SIGNING_SECRET, Hub
from tests.support.processes.workers import running_workers
from tests.support.unfinished_deliveries import close_open_deliveries
from webhooks.models import Event, State

pytestmark = [pytest.mark.faults, pytest.mark.nightly, pytest.mark.concurrent]

DEADLINE = 1.0
MAX_ATTEMPTS = 3
SIZES = {"DELIVERY_THREADS": "16", "CONFIGURATION_SECONDS": "1", "ABSENCE_CONFIRM_SECONDS": "0.1"}
# Most deliveries due at once: with more, one might be answered after its deadline.
CROWD = 16


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


# The mix


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
@pytest.mark.promise("I10")
def test_in_a_mix_of_all_answers_each_delivery_ends_as_expected_and_none_is_stuck(
    moody: Hub, settings: Any
) -> None:
    users = people(510)
    settings.WAKE_WORKERS = settings.LEFT_TO_WORKERS
    with running_workers(count=2, **SIZES):
        send(moody, users)
        stuck = drain(300)
    print(f"\nstuck {stuck}, {Counter(Delivery.objects.values_list('state', 'code'))}")
    assert stuck == 0
    assert Delivery.objects.count() == len(users)
    assert differences() == []
