"""After a pause: one probe, then more with each success; Retry-After is respected."""

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F, Sum
from django.utils import timezone

from sync.attempts import breaker_feedback
from sync.attempts.delivery_run import run_delivery
from sync.deliveries.due_deliveries import find_due_ids
from sync.execution.executor import run_due_deliveries
from sync.limits import circuit_breaker, concurrency_slots
from sync.limits.circuit_breaker import PROBE_AHEAD_SECONDS
from sync.models import Attempt, Breaker, Connection, Delivery, Route
from tests.support.circuit_breakers import (
    ENOUGH_FAILURES,
    SECONDS,
    ack,
    breaker,
    breaker_entries,
    cautious_breakers,
    create_people,
    end_pause,
    is_open,
    make_due,
    open_breaker,
    run_at_once,
    seconds_until,
    send_and_wait,
)
from tests.support.hub import EXAMPLE, Hub
from webhooks.models import State


@pytest.fixture
def cautious(hub: Hub) -> Iterator[Hub]:
    with cautious_breakers():
        yield hub


@pytest.mark.slow
def test_a_failed_probe_uses_no_retry_and_the_next_pause_is_longer(cautious: Hub) -> None:
    users = create_people(cautious, 6)
    open_breaker(cautious, users[0])
    for user in users[1:]:
        send_and_wait(cautious, user)
    cautious.shop.faults.add("slow", seconds=0.3)
    cautious.shop.faults.add("error", status=503)
    attempts_used = Delivery.objects.aggregate(sum=Sum("attempts_used"))["sum"]
    attempts = Attempt.objects.count()
    end_pause()
    make_due()
    run_at_once(run_due_deliveries, run_due_deliveries)
    assert Attempt.objects.count() == attempts + 1
    assert Delivery.objects.aggregate(sum=Sum("attempts_used"))["sum"] == attempts_used
    again = breaker()
    assert again is not None
    assert again.openings == 2
    assert 2 * SECONDS * 0.75 <= seconds_until(again.open_until) <= 2 * SECONDS * 1.25 + PROBE_AHEAD_SECONDS
    assert breaker_entries() == ["connection.paused", "connection.paused"]


def test_a_breaker_whose_probes_use_retries_is_caught(cautious: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker_feedback, "without_using_attempt", lambda result, *_: result)
    [user] = create_people(cautious, 1)
    open_breaker(cautious, user)
    attempts_used = Delivery.objects.aggregate(sum=Sum("attempts_used"))["sum"]
    cautious.shop.faults.add("error", status=503)
    end_pause()
    make_due()
    run_due_deliveries()
    assert Delivery.objects.aggregate(sum=Sum("attempts_used"))["sum"] > attempts_used


def test_pauses_grow_no_longer_than_ten_minutes(cautious: Hub) -> None:
    [user] = create_people(cautious, 1)
    cautious.shop.faults.add("error", status=503)
    pauses = []
    for number in range(ENOUGH_FAILURES + 6):
        send_and_wait(cautious, user)
        if number >= ENOUGH_FAILURES - 1:
            shop_breaker = breaker()
            assert shop_breaker is not None
            pauses.append(seconds_until(shop_breaker.open_until))
            end_pause()
    assert pauses[1] > pauses[0]
    assert all(480 * 0.98 <= seconds <= 600 * 1.21 for seconds in pauses[4:])
    assert Delivery.objects.filter(state=State.DEAD).count() == 0


def count_over_growth(hub: Hub) -> list[str]:
    """Moments at which more attempts were at the shop than one and as many as had ended."""
    seen: dict[str, list[float]] = {}
    for entry in hub.shop.read_journal():
        seen.setdefault(entry["attempt"], []).extend((entry["started"], entry["ended"]))
    spans = [(min(times), max(times)) for times in seen.values()]
    found = []
    for began, _ in spans:
        running = sum(start <= began < end for start, end in spans)
        ended = sum(end <= began for _, end in spans)
        if running > 1 + ended:
            found.append(f"{running} at once after {ended}")
    return found


def recover(hub: Hub) -> None:
    """Let the shop work again, slowly, while three processes look for due deliveries."""
    users = create_people(hub, 14)
    open_breaker(hub, users[0])
    for user in users[1:]:
        hub.post(ack(user))
    hub.shop.request_journal.clear()
    hub.shop.faults.add("slow", seconds=0.05)
    end_pause()
    make_due()
    until = time.monotonic() + 60
    while Delivery.objects.exclude(state=State.SUCCEEDED).filter(state__in=["pending", "retrying"]).exists():
        assert time.monotonic() < until, "it did not recover"
        run_at_once(run_due_deliveries, run_due_deliveries, run_due_deliveries)


@pytest.mark.slow
def test_each_success_allows_one_more_probe_until_the_breaker_closes(cautious: Hub) -> None:
    recover(cautious)
    assert count_over_growth(cautious) == []
    closed = breaker()
    assert closed is not None
    assert (closed.open_until, closed.failures, closed.openings, closed.code) == (None, 0, 0, "")
    assert breaker_entries() == ["connection.paused", "connection.resumed"]


@pytest.mark.slow
@pytest.mark.one_database
def test_a_breaker_that_closes_without_probes_is_caught(
    cautious: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = concurrency_slots.allowed_deliveries
    monkeypatch.setattr(
        concurrency_slots, "allowed_deliveries", lambda connection: 0 if good(connection) == 0 else None
    )
    recover(cautious)
    assert count_over_growth(cautious) != []


@pytest.mark.slow
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
    cautious.shop.faults.add("error", status=503)
    assert send_and_wait(cautious, user) == (424, "target-unavailable")
    again = breaker()
    assert again is not None
    assert (again.openings, again.successes) == (2, 0)
    assert seconds_until(again.open_until) > 0


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
    assert is_paused()
    return bad


def is_paused() -> bool:
    paused = breaker()
    return paused is not None and paused.open_until is not None and seconds_until(paused.open_until) > 0


def let_pause_pass() -> None:
    """Move the times of the breaker and of waiting deliveries back, so that the pause ends now."""
    left = timedelta(seconds=seconds_until(breaker().open_until))
    Delivery.objects.filter(state=State.RETRYING).update(due_at=F("due_at") - left)
    end_pause()


def find_probes() -> set[str]:
    """Return the people whose deliveries may be the next probe."""
    return set(Delivery.objects.filter(pk__in=find_due_ids()).values_list("entity_id", flat=True))


def test_the_next_probe_is_another_delivery_than_the_one_that_failed(cautious: Hub) -> None:
    bad = fail_probe(cautious)
    let_pause_pass()
    probes = find_probes()
    assert probes
    assert bad not in probes
    # A second more, because times are rounded.
    turn = timedelta(seconds=circuit_breaker.PROBE_TURN_SECONDS + 1)
    Delivery.objects.filter(entity_id=bad).update(due_at=F("due_at") - turn)
    assert bad in find_probes()


def test_a_breaker_whose_failed_probe_goes_first_again_is_caught(
    cautious: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = breaker_feedback.without_using_attempt
    monkeypatch.setattr(
        breaker_feedback, "without_using_attempt", lambda result, claim, _: good(result, claim, 0.0)
    )
    bad = fail_probe(cautious)
    let_pause_pass()
    assert bad in find_probes()


def test_ending_a_pause_by_hand_makes_the_failed_probe_due(cautious: Hub) -> None:
    bad = fail_probe(cautious)
    Delivery.objects.exclude(entity_id=bad).update(state=State.CLOSED, due_at=None)
    assert circuit_breaker.end_pause_now(Connection.objects.get(slug="shop"), "user:1", "192.0.2.9")
    assert find_probes() == {bad}
    run_due_deliveries()
    assert cautious.customer(bad) is not None


def fail_writes_until_paused(hub: Hub, user: str) -> int:
    """Let the shop fail every write until its breaker opens again. Returns how many deliveries that took."""
    fault = hub.shop.faults.add("error", status=503, methods=["POST", "PATCH", "PUT"])
    for number in range(1, 60):
        hub.change_email(f"changed.{number}@example.com", user)
        assert send_and_wait(hub, user) == (424, "target-unavailable")
        if seconds_until(breaker().open_until) > 0:
            break
    hub.shop.faults.clear(fault.id)
    return number


@pytest.mark.slow
@pytest.mark.parametrize("successes", [0, 1, 3])
def test_a_half_open_breaker_allows_failures_while_the_system_answers(cautious: Hub, successes: int) -> None:
    [user] = create_people(cautious, 1)
    open_breaker(cautious, user)
    end_pause()
    for _ in range(successes):
        assert send_and_wait(cautious, user)[0] == 200
    allowed = circuit_breaker.PROBE_FAILURES_PER_SUCCESS * (1 + successes)
    assert fail_writes_until_paused(cautious, user) == allowed + 1
    again = breaker()
    assert (again.successes, again.probe_failures, again.has_answered) == (0, 0, False)
    # Pauses grow only while no delivery succeeds.
    assert again.openings == (1 if successes else 2)


@pytest.mark.slow
@pytest.mark.one_database
def test_a_breaker_that_opens_at_the_first_failure_is_caught(
    cautious: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(circuit_breaker, "PROBE_FAILURES_PER_SUCCESS", 0)
    [user] = create_people(cautious, 1)
    open_breaker(cautious, user)
    end_pause()
    assert send_and_wait(cautious, user)[0] == 200
    assert fail_writes_until_paused(cautious, user) == 1


@pytest.mark.parametrize(("asked", "pause"), [(10, SECONDS), (120, 120), (86_400, 600)])
def test_a_pause_follows_retry_after_up_to_ten_minutes(cautious: Hub, asked: int, pause: int) -> None:
    Connection.objects.update(breaker_failures=1)
    cautious.shop.faults.add("throttle", retry_after=asked)
    assert send_and_wait(cautious, create_people(cautious, 1)[0]) == (424, "target-throttled")
    opened = breaker()
    assert opened is not None
    assert pause * 0.75 <= seconds_until(opened.open_until) <= pause * 1.25 + PROBE_AHEAD_SECONDS


@pytest.mark.parametrize(("asked", "least", "most"), [(120, 115, 125), (86_400, 295, 305)])
def test_a_delivery_follows_retry_after_up_to_the_longest_pause_of_its_route(
    cautious: Hub, asked: int, least: int, most: int
) -> None:
    Route.objects.update(retry_cap_seconds=300)
    cautious.shop.faults.add("throttle", retry_after=asked)
    send_and_wait(cautious, create_people(cautious, 1)[0])
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
    assert all(590 < seconds_until(replay.not_before) <= 600 for replay in (older, newest))
    attempts = Attempt.objects.count()
    assert hub.post_signed(body, "msg_1").json()["retrying"] is True
    hub.wait_until_idle()
    assert Attempt.objects.count() == attempts


@pytest.mark.slow
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


def test_the_shop_is_not_blamed_for_an_identity_service_that_is_down(cautious: Hub) -> None:
    users = create_people(cautious, ENOUGH_FAILURES + 1)
    cautious.identity.faults.add("error", status=503)
    codes = [send_and_wait(cautious, user)[1] for user in users]
    assert codes == ["identity-unavailable"] * len(users)
    assert (is_open("aurora"), is_open("shop")) == (True, False)
    assert cautious.shop.read_journal() == []
    assert breaker_entries("shop") == []


@pytest.mark.slow
def test_failures_of_the_shop_do_not_reset_the_failures_of_the_identity_service(
    cautious: Hub,
) -> None:
    users = create_people(cautious, 2 * ENOUGH_FAILURES)
    cautious.identity.faults.add("error", status=503, times=ENOUGH_FAILURES - 1)
    cautious.shop.faults.add("error", status=503, times=1)
    for user in users[:ENOUGH_FAILURES]:
        send_and_wait(cautious, user)
    shop_breaker = breaker("aurora")
    assert shop_breaker is not None
    assert shop_breaker.failures == 0
    assert not is_open("aurora")


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
