"""Before the pause of a connection ends, a worker sends a read that no single record can spoil."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from database.clock import read_clock
from sync.attempts.delivery_run import run_delivery
from sync.execution.connection_probes import probe_paused_connections
from sync.execution.executor import run_due_deliveries
from sync.limits.circuit_breaker import (
    PROBE_AHEAD_SECONDS,
    SystemFailure,
    end_pause_now,
    invalidate_breakers,
)
from sync.limits.probe_reservations import record_failed_probe, reserve_probes
from sync.models import Attempt, Breaker, Connection, Delivery
from tests.support.circuit_breakers import (
    breaker,
    cautious_breakers,
    create_people,
    end_pause,
    is_open,
    make_due,
    open_breaker,
    seconds_until,
    send_and_wait,
)
from tests.support.hub import Hub
from webhooks.models import State

FAILURE = SystemFailure("target-unavailable")


@pytest.fixture
def paused(hub: Hub) -> Iterator[Hub]:
    """Yield a hub whose pause of the shop is about to end, with a delivery that waits for it."""
    with cautious_breakers():
        [user] = create_people(hub, 1)
        open_breaker(hub, user)
        hub.wait_until_quiet()
        let_pause_run_out()
        hub.shop.request_journal.clear()
        yield hub


def let_pause_run_out() -> None:
    """Move the end of the pause into the seconds in which a worker probes."""
    soon = read_clock() + timedelta(seconds=PROBE_AHEAD_SECONDS / 2)
    Breaker.objects.filter(open_until__isnull=False).update(open_until=soon)
    invalidate_breakers()


def is_paused(slug: str = "shop") -> bool:
    found = breaker(slug)
    return found is not None and found.open_until is not None and seconds_until(found.open_until) > 0


def test_an_answered_read_ends_the_pause_before_any_delivery_is_sent(paused: Hub) -> None:
    attempts = Attempt.objects.count()
    assert probe_paused_connections() == 1
    assert not is_paused()
    assert is_open()
    half_open = breaker()
    assert half_open is not None
    assert (half_open.has_answered, half_open.successes, half_open.openings) == (True, 0, 1)
    requests = paused.shop.read_journal()
    assert {request["method"] for request in requests} == {"GET"}
    assert not any(request["path"].startswith("/api/customers/") for request in requests)
    assert Attempt.objects.count() == attempts
    assert probe_paused_connections() == 0, "it is not paused any more"


@pytest.mark.submission
@pytest.mark.parametrize(
    "fault",
    [{"kind": "drop"}, {"kind": "error", "status": 401}],
    ids=lambda fault: str(fault),
)
def test_a_system_that_is_down_gets_one_read_and_the_next_pause(paused: Hub, fault: dict[str, Any]) -> None:
    paused.shop.faults.add_from_json(fault)
    attempts = Attempt.objects.count()
    make_due()
    assert probe_paused_connections() == 0
    assert run_due_deliveries() == 0
    assert is_paused()
    again = breaker()
    assert again is not None
    assert again.openings == 2
    assert Attempt.objects.count() == attempts
    # A read over a pooled connection that was closed is sent once more.
    assert 1 <= len(paused.shop.read_journal()) <= 2


@pytest.mark.submission
def test_a_read_that_the_system_refuses_leaves_the_end_of_the_pause(paused: Hub) -> None:
    ends_at = breaker().open_until
    paused.shop.faults.add("refuse", status=404, methods=["GET"])
    assert probe_paused_connections() == 0
    after = breaker()
    assert (after.open_until, after.openings, after.has_answered) == (ends_at, 1, False)


@pytest.mark.submission
def test_a_rate_limit_that_is_used_up_leaves_the_end_of_the_pause(paused: Hub) -> None:
    Connection.objects.filter(slug="shop").update(requests_per_second=0.01)
    assert probe_paused_connections() == 1
    Connection.objects.filter(slug="shop").update(deadline_seconds=0.2)
    let_pause_run_out()
    assert probe_paused_connections() == 0
    assert breaker().openings == 1
    assert seconds_until(breaker().open_until) <= PROBE_AHEAD_SECONDS


@pytest.mark.promise("I11")
def test_one_process_sends_the_probe_and_no_delivery_passes_meanwhile(paused: Hub) -> None:
    [probe] = reserve_probes()
    assert reserve_probes() == []
    make_due()
    assert run_due_deliveries() == 0
    assert paused.shop.read_journal() == []
    # If its process dies, deliveries try the system.
    latest = 2 * probe.connection.deadline_seconds + 10.0
    assert seconds_until(breaker().open_until) <= latest
    end_pause()
    make_due()
    assert run_due_deliveries() >= 1


@pytest.mark.submission
def test_a_person_who_ended_the_pause_is_not_overruled_by_a_late_probe(paused: Hub) -> None:
    [probe] = reserve_probes()
    assert end_pause_now(probe.connection, "user:1", "192.0.2.9")
    record_failed_probe(probe, FAILURE)
    assert not is_paused()
    assert breaker().openings == 1


@pytest.mark.submission
def test_a_disabled_connection_is_not_probed(paused: Hub) -> None:
    Connection.objects.update(is_enabled=False)
    assert probe_paused_connections() == 0
    assert paused.shop.read_journal() == []


@pytest.mark.submission
def test_an_identity_service_is_probed_too(hub: Hub) -> None:
    with cautious_breakers():
        hub.identity.faults.add("error", status=503, times=3)
        for user in create_people(hub, 3):
            send_and_wait(hub, user)
        assert is_paused("aurora")
        let_pause_run_out()
        hub.identity.request_journal.clear()
        assert probe_paused_connections() == 1
        assert not is_paused("aurora")
        assert {request["path"] for request in hub.identity.read_journal()} == {"/api/users"}


@pytest.mark.promise("I11")
def test_a_bad_record_does_not_pause_a_system_that_answers_again(paused: Hub) -> None:
    """The shop fails every request for the record of one person."""
    hub = paused
    make_due()
    [user] = Delivery.objects.values_list("entity_id", flat=True).distinct()
    end_pause()
    assert send_and_wait(hub, user)[0] == 200
    record = hub.customer(user)
    assert record is not None
    hub.shop.faults.add("error", status=503, path=f"/api/customers/{record['id']}")
    hub.change_email("other@example.com", user)
    Breaker.objects.update(successes=0, has_answered=False)
    let_pause_run_out()
    assert send_and_wait(hub, user)[0] == 424
    make_due()
    assert probe_paused_connections() == 1
    run_delivery(Delivery.objects.get(state=State.RETRYING).pk)
    assert Attempt.objects.latest("pk").code == "target-unavailable"
    assert not is_paused()
