"""After a pause: one probe, then more with each success, and the time that the system asked for."""

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import Sum
from django.utils import timezone

from sync.attempts import breaker_feedback
from sync.attempts.delivery_run import run_delivery
from sync.execution.executor import run_due_deliveries
from sync.limits import circuit_breaker, concurrency_slots
from sync.models import Attempt, Breaker, Connection, Delivery, Route
from tests.support.circuit_breakers import (
    ENOUGH_FAILURES,
    SECONDS,
    ack,
    at_once,
    breaker,
    cautious_breakers,
    end_pause,
    happenings,
    is_open,
    make_due,
    pause,
    people,
    seconds_until,
    told,
)
from tests.support.hub import EXAMPLE, Hub
from webhooks.models import State


@pytest.fixture
def cautious(hub: Hub) -> Iterator[Hub]:
    with cautious_breakers():
        yield hub


def test_one_probe_fails_it_costs_no_try_and_the_next_pause_is_longer(cautious: Hub) -> None:
    users = people(cautious, 6)
    pause(cautious, users[0])
    for user in users[1:]:
        told(cautious, user)
    cautious.shop.faults.add("slow", seconds=0.3)
    cautious.shop.faults.add("error", status=503)
    tries = Delivery.objects.aggregate(sum=Sum("tries"))["sum"]
    attempts = Attempt.objects.count()
    end_pause()
    make_due()
    at_once(run_due_deliveries, run_due_deliveries)
    assert Attempt.objects.count() == attempts + 1
    assert Delivery.objects.aggregate(sum=Sum("tries"))["sum"] == tries
    again = breaker()
    assert again is not None
    assert again.openings == 2
    assert 2 * SECONDS * 0.75 <= seconds_until(again.open_until) <= 2 * SECONDS * 1.25
    assert happenings() == ["connection.paused", "connection.paused"]


def test_a_breaker_whose_probes_spend_tries_is_caught(cautious: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker_feedback, "without_spending_try", lambda verdict, _: verdict)
    [user] = people(cautious, 1)
    pause(cautious, user)
    tries = Delivery.objects.aggregate(sum=Sum("tries"))["sum"]
    cautious.shop.faults.add("error", status=503)
    end_pause()
    make_due()
    run_due_deliveries()
    assert Delivery.objects.aggregate(sum=Sum("tries"))["sum"] > tries


def test_pauses_grow_no_longer_than_ten_minutes(cautious: Hub) -> None:
    [user] = people(cautious, 1)
    cautious.shop.faults.add("error", status=503)
    pauses = []
    for number in range(ENOUGH_FAILURES + 6):
        told(cautious, user)
        if number >= ENOUGH_FAILURES - 1:
            found = breaker()
            assert found is not None
            pauses.append(seconds_until(found.open_until))
            end_pause()
    assert pauses[1] > pauses[0]
    assert all(480 * 0.98 <= each <= 600 * 1.21 for each in pauses[4:])
    assert Delivery.objects.filter(state=State.DEAD).count() == 0


def count_over_growth(hub: Hub) -> list[str]:
    """Moments at which more attempts were at the shop than one and as many as had ended."""
    seen: dict[str, list[float]] = {}
    for entry in hub.shop.read_journal():
        seen.setdefault(entry["attempt"], []).extend((entry["started"], entry["ended"]))
    spans = [(min(each), max(each)) for each in seen.values()]
    found = []
    for began, _ in spans:
        running = sum(start <= began < end for start, end in spans)
        ended = sum(end <= began for _, end in spans)
        if running > 1 + ended:
            found.append(f"{running} at once after {ended}")
    return found


def recover(hub: Hub) -> None:
    """The shop comes back, slowly, and three processes look for what is due."""
    users = people(hub, 14)
    pause(hub, users[0])
    for user in users[1:]:
        hub.post(ack(user))
    hub.shop.request_journal.clear()
    hub.shop.faults.add("slow", seconds=0.05)
    end_pause()
    make_due()
    until = time.monotonic() + 60
    while Delivery.objects.exclude(state=State.SUCCEEDED).filter(state__in=["pending", "retrying"]).exists():
        assert time.monotonic() < until, "it did not recover"
        at_once(run_due_deliveries, run_due_deliveries, run_due_deliveries)


def test_each_success_lets_one_more_through_until_it_closes(cautious: Hub) -> None:
    recover(cautious)
    assert count_over_growth(cautious) == []
    closed = breaker()
    assert closed is not None
    assert (closed.open_until, closed.failures, closed.openings, closed.code) == (None, 0, 0, "")
    assert happenings() == ["connection.paused", "connection.resumed"]


def test_a_breaker_that_lets_all_through_at_once_is_caught(
    cautious: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = concurrency_slots.allowed_deliveries
    monkeypatch.setattr(
        concurrency_slots, "allowed_deliveries", lambda connection: 0 if good(connection) == 0 else None
    )
    recover(cautious)
    assert count_over_growth(cautious) != []


def test_a_breaker_that_opens_while_a_claim_looks_for_its_slot_lets_nothing_pass(
    cautious: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The probe fails, and another process frees its slot and opens the breaker, just before this one looks."""
    [user] = people(cautious, 1)
    pause(cautious, user)
    asked = len(cautious.shop.read_journal())
    end_pause()
    make_due()

    class Late:
        def __init__(self, statement: Any) -> None:
            self.statement = statement

        def fetch_all(self, *values: Any) -> Any:
            Breaker.objects.update(open_until=timezone.now() + timedelta(minutes=1))
            return self.statement.fetch_all(*values)

    monkeypatch.setattr(
        concurrency_slots,
        "_TAKEN_SLOTS",
        {side: Late(each) for side, each in concurrency_slots._TAKEN_SLOTS.items()},
    )
    run_due_deliveries()
    assert len(cautious.shop.read_journal()) == asked


@pytest.mark.parametrize("successes", [0, 1, circuit_breaker.SUCCESSES_TO_CLOSE - 1])
def test_a_failure_while_it_tries_again_opens_it_at_once(cautious: Hub, successes: int) -> None:
    [user] = people(cautious, 1)
    pause(cautious, user)
    end_pause()
    for _ in range(successes):
        assert told(cautious, user)[0] == 200
    cautious.shop.faults.add("error", status=503)
    assert told(cautious, user) == (424, "target-unavailable")
    again = breaker()
    assert again is not None
    assert (again.openings, again.successes) == (2, 0)
    assert seconds_until(again.open_until) > 0


@pytest.mark.parametrize(("asked", "pause"), [(10, SECONDS), (120, 120), (86_400, 600)])
def test_a_pause_is_as_long_as_the_system_asks_up_to_ten_minutes(
    cautious: Hub, asked: int, pause: int
) -> None:
    Connection.objects.update(breaker_failures=1)
    cautious.shop.faults.add("throttle", retry_after=asked)
    assert told(cautious, people(cautious, 1)[0]) == (424, "target-throttled")
    opened = breaker()
    assert opened is not None
    assert pause * 0.75 <= seconds_until(opened.open_until) <= pause * 1.25


@pytest.mark.parametrize(("asked", "least", "most"), [(120, 115, 125), (86_400, 295, 305)])
def test_a_delivery_waits_as_long_as_it_was_asked_to_up_to_its_routes_longest_pause(
    cautious: Hub, asked: int, least: int, most: int
) -> None:
    Route.objects.update(retry_cap_seconds=300)
    cautious.shop.faults.add("throttle", retry_after=asked)
    told(cautious, people(cautious, 1)[0])
    assert least <= seconds_until(Delivery.objects.get().due_at) <= most


@pytest.mark.parametrize(
    ("fault", "is_left_alone"),
    [
        ({"kind": "error", "status": 503, "retry_after": 600}, True),
        ({"kind": "throttle", "retry_after": 600}, True),
        ({"kind": "error", "status": 503}, False),
        ({"kind": "throttle", "retry_after": 0}, False),
    ],
)
def test_a_webhook_that_comes_again_waits_as_long_as_the_other_side_asked(
    hub: Hub, fault: dict[str, Any], is_left_alone: bool
) -> None:
    hub.change_email("anna.again@example.com")
    hub.shop.faults.add(**fault)
    assert hub.post_signed(EXAMPLE, "msg_again").status_code == 424
    hub.shop.faults.clear()
    again = hub.post_signed(EXAMPLE, "msg_again")
    assert (again.status_code == 424) is is_left_alone
    assert Delivery.objects.get().tries == (1 if is_left_alone else 2)
    Delivery.objects.filter(state="retrying").update(not_before=timezone.now() - timedelta(seconds=1))
    assert hub.post_signed(EXAMPLE, "msg_again").status_code == 200
    assert hub.customer()["email"] == "anna.again@example.com"


def test_a_covered_webhook_that_comes_again_waits_as_long_too(hub: Hub) -> None:
    hub.change_email("anna.again@example.com")
    hub.shop.faults.add("error", status=503)
    body = json.loads(EXAMPLE) | {"respond": "ack"}
    for name in ("msg_1", "msg_2"):
        hub.post_signed(body, name)
        hub.wait_until_idle()
    Delivery.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    hub.shop.faults.clear()
    hub.shop.faults.add("error", status=503, retry_after=600)
    newest = Delivery.objects.latest("pk")
    run_delivery(newest.pk)
    older = Delivery.objects.earliest("pk")
    assert older.covered_by is not None
    newest.refresh_from_db()
    assert all(590 < seconds_until(each.not_before) <= 600 for each in (older, newest))
    tries = Attempt.objects.count()
    assert hub.post_signed(body, "msg_1").json()["retrying"] is True
    hub.wait_until_idle()
    assert Attempt.objects.count() == tries


def test_a_creation_that_is_not_there_yet_says_nothing_of_the_shop(cautious: Hub) -> None:
    """The probe of a breaker is not spent on what never asked the shop to change anything."""
    pause(cautious, people(cautious, 1)[0])
    cautious.wait_until_quiet()
    Delivery.objects.update(due_at=timezone.now() + timedelta(hours=1))  # none of them is the probe
    end_pause()
    created = {"id": "NEVER1", "entityType": "USER", "eventType": "CREATE"}
    before = Breaker.objects.values_list("successes", "open_until").get(connection__side="commercial")
    assert cautious.post_signed(created).json()["code"] == "identity-missing"
    assert Breaker.objects.values_list("successes", "open_until").get(connection__side="commercial") == before


def test_the_shop_is_not_blamed_for_an_identity_service_that_is_down(cautious: Hub) -> None:
    users = people(cautious, ENOUGH_FAILURES + 1)
    cautious.identity.faults.add("error", status=503)
    codes = [told(cautious, user)[1] for user in users]
    assert codes == ["identity-unavailable"] * len(users)
    assert (is_open("aurora"), is_open("shop")) == (True, False)
    assert cautious.shop.read_journal() == []
    assert happenings("shop") == []


def test_a_shop_that_is_down_leaves_the_identity_services_failures_counted_from_its_last_answer(
    cautious: Hub,
) -> None:
    users = people(cautious, 2 * ENOUGH_FAILURES)
    cautious.identity.faults.add("error", status=503, times=ENOUGH_FAILURES - 1)
    cautious.shop.faults.add("error", status=503, times=1)
    for user in users[:ENOUGH_FAILURES]:
        told(cautious, user)
    found = breaker("aurora")
    assert found is not None
    assert found.failures == 0
    assert not is_open("aurora")


@pytest.mark.parametrize("is_down", ["aurora", "shop"])
def test_one_system_resumes_while_the_other_stays_paused(cautious: Hub, is_down: str) -> None:
    pause(cautious, people(cautious, 1)[0])
    past, later = timezone.now() - timedelta(seconds=1), timezone.now() + timedelta(minutes=5)
    both = {"shop": past, "aurora": past} | {is_down: later}
    for slug, moment in both.items():
        connection = Connection.objects.get(slug=slug)
        Breaker.objects.update_or_create(
            connection=connection, defaults={"open_until": moment, "opened_at": past, "openings": 1}
        )
    asked = len(cautious.shop.read_journal())
    make_due()
    assert run_due_deliveries() == 0
    assert len(cautious.shop.read_journal()) == asked
