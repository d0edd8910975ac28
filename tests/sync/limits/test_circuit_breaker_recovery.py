"""After a pause: one probe, then more with each success; Retry-After is respected."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import Sum
from django.utils import timezone

from sync.attempts.delivery_run import run_delivery
from sync.deliveries.due_deliveries import find_due_ids
from sync.execution.executor import run_due_deliveries
from sync.limits import circuit_breaker, concurrency_slots
from sync.models import Attempt, Breaker, Connection, Delivery
from tests.support.circuit_breakers import (
    ENOUGH_FAILURES,
    breaker,
    breaker_entries,
    create_people,
    end_pause,
    is_open,
    make_due,
    open_breaker,
    send_and_wait,
)
from tests.support.hub import EXAMPLE, Hub
from webhooks.models import State

pytestmark = pytest.mark.concurrent


def test_a_breaker_that_opens_during_a_claim_stops_the_claim(
    cautious: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The probe fails, and another process frees its slot and opens the breaker, just before this check."""
    [user] = create_people(cautious, 1)
    open_breaker(cautious, user)
    request_count = len(cautious.shop.read_journal())
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
        {side: Late(taken_slots) for side, taken_slots in concurrency_slots._TAKEN_SLOTS.items()},
    )
    run_due_deliveries()
    assert len(cautious.shop.read_journal()) == request_count


def test_a_half_open_breaker_opens_at_once_if_the_system_answers_nothing(cautious: Hub) -> None:
    [user] = create_people(cautious, 1)
    open_breaker(cautious, user)
    end_pause()
    attempts_used = Delivery.objects.aggregate(sum=Sum("attempts_used"))["sum"]
    cautious.shop.faults.add("error", status=503)
    assert send_and_wait(cautious, user) == (424, "target-unavailable")
    again = breaker()
    assert (again.openings, again.successes) == (2, 0)
    assert breaker_entries() == ["connection.paused", "connection.paused"]
    assert Delivery.objects.aggregate(sum=Sum("attempts_used"))["sum"] == attempts_used


def fail_probe(hub: Hub) -> str:
    """Let one person's delivery time out as the first probe, while those of two others wait. Returns its person."""
    users = create_people(hub, 3)
    open_breaker(hub, users[0])
    for user in users[1:]:
        send_and_wait(hub, user)
    make_due()
    bad = users[0]
    hub.shop.faults.add("error", status=503)
    end_pause()
    run_delivery(Delivery.objects.filter(entity_id=bad).latest("pk").pk)
    hub.shop.faults.clear()
    assert breaker().openings == 2
    return bad


@pytest.mark.submission
def test_the_next_probe_is_another_delivery_than_the_one_that_failed(cautious: Hub) -> None:
    bad = fail_probe(cautious)
    ends = breaker().open_until
    waiting = Delivery.objects.filter(state=State.RETRYING)
    assert waiting.filter(due_at__lte=ends).exclude(entity_id=bad).count() == 2
    # A tenth of a second less, because times are rounded.
    turn = timedelta(seconds=circuit_breaker.PROBE_TURN_SECONDS - 0.1)
    assert waiting.filter(entity_id=bad).latest("pk").due_at > ends + turn


@pytest.mark.submission
def test_ending_a_pause_by_hand_makes_the_failed_probe_due(cautious: Hub) -> None:
    bad = fail_probe(cautious)
    Delivery.objects.exclude(entity_id=bad).update(state=State.CLOSED, due_at=None)
    assert circuit_breaker.end_pause_now(Connection.objects.get(slug="shop"), "user:1", "192.0.2.9")
    assert set(Delivery.objects.filter(pk__in=find_due_ids()).values_list("entity_id", flat=True)) == {bad}
    run_due_deliveries()
    assert cautious.customer(bad) is not None


@pytest.mark.submission
@pytest.mark.parametrize(
    ("fault", "is_left_alone"),
    [
        ({"kind": "error", "status": 503, "retry_after": 600}, True),
        ({"kind": "error", "status": 503}, False),
    ],
)
def test_a_repeated_webhook_follows_retry_after(hub: Hub, fault: dict[str, Any], is_left_alone: bool) -> None:
    hub.change_email("anna.again@example.com")
    hub.shop.faults.add(**fault)
    assert hub.post_signed(EXAMPLE, "msg_again").status_code == 424
    hub.shop.faults.clear()
    again = hub.post_signed(EXAMPLE, "msg_again")
    assert (again.status_code == 424) is is_left_alone
    assert Delivery.objects.get().attempts_used == (1 if is_left_alone else 2)
    Delivery.objects.filter(state="retrying").update(not_before=timezone.now() - timedelta(seconds=1))
    assert hub.post_signed(EXAMPLE, "msg_again").status_code == 200
    assert hub.customer()["email"] == "anna.again@example.com"


@pytest.mark.submission
def test_a_repeated_covered_webhook_follows_retry_after_too(hub: Hub) -> None:
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
    assert all(delivery.not_before > timezone.now() + timedelta(minutes=5) for delivery in (older, newest))
    attempts = Attempt.objects.count()
    assert hub.post_signed(body, "msg_1").json()["retrying"] is True
    hub.wait_until_idle()
    assert Attempt.objects.count() == attempts


@pytest.mark.nightly
def test_a_creation_without_its_entity_does_not_affect_the_breaker_of_the_shop(cautious: Hub) -> None:
    """A probe of the breaker is not used up by a delivery that sends nothing to the shop."""
    open_breaker(cautious, create_people(cautious, 1)[0])
    cautious.wait_until_quiet()
    Delivery.objects.update(due_at=timezone.now() + timedelta(hours=1))  # none of them is the probe
    end_pause()
    created = {"id": "NEVER1", "entityType": "USER", "eventType": "CREATE"}
    before = Breaker.objects.values_list("successes", "open_until").get(connection__side="target")
    assert cautious.post_signed(created).json()["code"] == "identity-missing"
    assert Breaker.objects.values_list("successes", "open_until").get(connection__side="target") == before


@pytest.mark.submission
def test_failures_of_the_shop_reset_the_failures_of_the_identity_service(cautious: Hub) -> None:
    """To fail at the shop, a delivery needed a proper answer of the identity service."""
    users = create_people(cautious, 2 * ENOUGH_FAILURES)
    cautious.identity.faults.add("error", status=503, times=ENOUGH_FAILURES - 1)
    cautious.shop.faults.add("error", status=503, times=1)
    for user in users[:ENOUGH_FAILURES]:
        send_and_wait(cautious, user)
    assert breaker("aurora").failures == 0
    assert not is_open("aurora")


@pytest.mark.submission
@pytest.mark.parametrize("is_down", ["aurora", "shop"])
def test_one_system_resumes_while_the_other_stays_paused(cautious: Hub, is_down: str) -> None:
    open_breaker(cautious, create_people(cautious, 1)[0])
    past, later = timezone.now() - timedelta(seconds=1), timezone.now() + timedelta(minutes=5)
    both = {"shop": past, "aurora": past} | {is_down: later}
    for slug, moment in both.items():
        connection = Connection.objects.get(slug=slug)
        Breaker.objects.update_or_create(
            connection=connection, defaults={"open_until": moment, "opened_at": past, "openings": 1}
        )
    request_count = len(cautious.shop.read_journal())
    make_due()
    assert run_due_deliveries() == 0
    assert len(cautious.shop.read_journal()) == request_count
