"""Must-show 3 of background delivery: a shop that is down for ten minutes costs nobody a try, and is not trampled when
it is back.

The ten minutes are moved and not waited: every time in the tables goes back, so that for the hub they have passed.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db.models import F, Sum

from sync.models import Attempt, Breaker, Connection, Delivery, Route
from tests.faults.variants.process_variants import environment
from tests.support.hub import Hub
from tests.support.people import browser
from tests.support.processes.workers import wait_until, worker
from tests.support.unfinished_deliveries import close_what_is_left
from webhooks.models import Event, State
from webhooks.models.rate_limit import Pace, forget_shares

pytestmark = [pytest.mark.faults, pytest.mark.worker_processes]

WAITING = 300
PER_SECOND = 90.0
FAILURES, SECONDS = 5, 60  # a pause that outlasts what a slow machine takes to tell of all that waits
OUTAGE, STEP = timedelta(minutes=10), timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Figures:
    """Tries spent, attempts made, and attempts that reached the shop."""

    tries: int
    attempts: int
    asked: int

    @classmethod
    def now(cls, hub: Hub) -> "Figures":
        tries = Delivery.objects.aggregate(sum=Sum("tries"))["sum"]
        asked = len({each["attempt"] for each in hub.shop.read_journal()})
        return cls(tries, Attempt.objects.count(), asked)


@pytest.fixture
def protected(hub: Hub, settings: Any) -> Iterator[Hub]:
    """The hub that leaves deliveries to its workers, and the limits of the shop set."""
    forget_shares()
    settings.WAKE_WORKERS = settings.LEFT_TO_WORKERS
    Connection.objects.filter(slug="shop").update(
        requests_per_second=PER_SECOND, breaker_failures=FAILURES, breaker_seconds=SECONDS
    )
    yield hub
    forget_shares()
    close_what_is_left()


@contextmanager
def workers(settings: Any, folder: Path, variant: str | None = None) -> Iterator[None]:
    variables = environment(folder, variant) | {"CONFIGURATION_SECONDS": "1", "DELIVERY_THREADS": "8"}
    with worker(0.2, count=2, **variables):
        yield


def tell(hub: Hub, numbers: Sequence[int]) -> None:
    """New persons, each with a webhook that nobody waits for."""
    for number in numbers:
        user = f"PERSON{number}"
        emails = [{"address": f"{user.lower()}@example.com", "verified": True}]
        hub.identity.directory.create_record(
            "users", {"id": user, "username": user.lower(), "emails": emails}
        )
        body = {"id": user, "entityType": "USER", "eventType": "CREATE", "respond": "ack"}
        assert hub.post(body).status_code == 202


def pass_time(step: timedelta) -> None:
    """For everything that waits for a time, this much of it has passed."""
    # Only of those that wait: who runs holds a slot, and changing its row could block whoever takes that slot next.
    waiting = Delivery.objects.filter(state=State.RETRYING)
    waiting.update(due_at=F("due_at") - step, opened_at=F("opened_at") - step)
    Breaker.objects.filter(open_until__isnull=False).update(
        open_until=F("open_until") - step, opened_at=F("opened_at") - step
    )
    Pace.objects.update(free_at=F("free_at") - step)


def sit_out(step_pause: float = 0.05) -> None:
    """Ten minutes in steps; each probe that became due in one is made in it."""
    for _ in range(OUTAGE // STEP):
        pass_time(STEP)
        time.sleep(step_pause)
        wait_until(lambda: not _probes_now())


def _probes_now() -> bool:
    """Whether something could be sent at this moment, or is being sent."""
    if Delivery.objects.filter(state=State.RUNNING).exists():
        return True
    found = Breaker.objects.filter(connection__slug="shop", open_until__isnull=False).first()
    return found is not None and found.open_until.timestamp() <= time.time()


def are_all_done() -> bool:
    return not Delivery.objects.exclude(state__in=[State.SUCCEEDED, State.UNCHANGED]).exists()


def busiest_second(hub: Hub) -> int:
    """The most requests that began in any window of one second, by the shop's journal."""
    moments = sorted(each["started"] for each in hub.shop.read_journal())
    most = first = 0
    for last, moment in enumerate(moments):
        while moments[first] < moment - 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most


def break_shop(hub: Hub) -> None:
    """It is down, and the breaker has noticed."""
    hub.shop.faults.add("error", status=503)
    tell(hub, range(FAILURES))
    wait_until(lambda: Breaker.objects.filter(open_until__isnull=False).exists())
    wait_until(lambda: not Delivery.objects.filter(state__in=[State.PENDING, State.RUNNING]).exists())


def test_ten_minutes_without_a_shop_cost_no_try_and_end_without_a_stampede(
    protected: Hub, tmp_path: Path, settings: Any
) -> None:
    with workers(settings, tmp_path):
        break_shop(protected)
        tell(protected, range(FAILURES, WAITING))
        wait_until(lambda: not Delivery.objects.filter(state=State.PENDING).exists())
        before, openings = Figures.now(protected), Breaker.objects.get().openings
        page = connection_page()
        sit_out()
        after, probes = Figures.now(protected), Breaker.objects.get().openings - openings
        assert Delivery.objects.filter(state=State.RETRYING).count() == WAITING
        protected.shop.faults.clear()
        protected.shop.request_journal.clear()
        drained_in = drain()
    busiest, requests = busiest_second(protected), len(protected.shop.read_journal())
    print(
        f"\n{WAITING} deliveries; before {before}, after {after}, {probes} probes;"
        f" drained in {drained_in:.1f} s, {requests} requests, at most {busiest} in a second of {PER_SECOND:g}"
    )
    assert probes >= 2, "the breaker never tried the shop again"
    assert after.tries == before.tries
    assert after.attempts == before.attempts + probes
    assert after.asked == before.asked + probes
    assert busiest <= 1.5 * PER_SECOND
    assert busiest >= 0.5 * PER_SECOND, "the drain was too slow to show anything"
    assert set(Event.objects.values_list("state", flat=True)) <= {State.SUCCEEDED, State.UNCHANGED}
    assert len(protected.shop.list_records("customers")) >= WAITING
    assert Breaker.objects.get().open_until is None
    assert "Paused after" in page


def drain() -> float:
    """Seconds until everything is delivered, once the last pause is over."""
    began = time.monotonic()
    pass_time(timedelta(minutes=12))
    wait_until(are_all_done, seconds=60)
    return time.monotonic() - began


def connection_page() -> str:
    """What an administrator reads of the shop meanwhile."""
    shop = Connection.objects.get(slug="shop")
    answer = browser("administrator").get(f"/admin/sync/connection/{shop.pk}/change/")
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_a_hub_without_a_breaker_is_caught_by_its_tries(
    protected: Hub, tmp_path: Path, settings: Any
) -> None:
    with workers(settings, tmp_path, "no-breaker"):
        protected.shop.faults.add("error", status=503)
        tell(protected, range(FAILURES + 3))
        wait_until(lambda: not Delivery.objects.filter(state__in=[State.PENDING, State.RUNNING]).exists())
        before = Figures.now(protected)
        pass_time(OUTAGE)
        wait_until(lambda: Figures.now(protected).tries > before.tries)


def test_a_hub_that_keeps_no_pace_is_caught_by_its_rate(
    protected: Hub, tmp_path: Path, settings: Any
) -> None:
    Connection.objects.filter(slug="shop").update(requests_per_second=10.0)
    Route.objects.update(retry_base_seconds=0.1)
    tell(protected, range(30))
    with workers(settings, tmp_path, "no-pace"):
        wait_until(are_all_done)
    assert busiest_second(protected) > 1.5 * 10.0
    print(f"\nno pace: {Counter(int(each['started']) for each in protected.shop.read_journal())}")
