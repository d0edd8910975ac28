"""A delivery for which the hub itself can open no connection: no failure of a system, and no attempt used."""

import logging
from typing import Any

import pytest

from connectors.http import transport
from sync.execution.executor import run_due_deliveries
from sync.models import Attempt, Breaker, Connection, Delivery
from tests.support.circuit_breakers import make_due
from tests.support.hub import ANNA, EXAMPLE, Hub
from tests.support.people import entries
from tests.support.processes.file_descriptors import without_free_descriptors
from webhooks.models import Event, State

MORE_THAN_A_BREAKER_ALLOWS = 5


@pytest.fixture
def exhausted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Leave no descriptor to each connection to a port in the list that is returned."""
    ports: list[int] = []
    open_socket = transport.open_socket

    def open_without_descriptors(host: str, port: int, state: Any) -> Any:
        if port not in ports:
            return open_socket(host, port, state)
        with without_free_descriptors():
            return open_socket(host, port, state)

    monkeypatch.setattr(transport, "open_socket", open_without_descriptors)
    monkeypatch.setattr(transport, "_pool", transport.ConnectionPool(transport._connection_factory))
    return ports


def port_of(side: str) -> int:
    return int(Connection.objects.get(side=side).base_url.split(":")[2].split("/")[0])


@pytest.mark.parametrize("side", ["identity", "target"])
def test_no_breaker_opens_and_no_attempt_is_used(
    cautious: Hub, exhausted: list[int], side: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "hub.deliver")
    exhausted.append(port_of(side))
    address = cautious.change_email("anna.new@example.com")
    answer = cautious.post(EXAMPLE)
    assert (answer.status_code, answer.json()["code"], answer.json()["retrying"]) == (
        424,
        "hub-exhausted",
        True,
    )
    for _ in range(MORE_THAN_A_BREAKER_ALLOWS):
        make_due()
        run_due_deliveries()
    cautious.wait_until_quiet()
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.attempts_used) == (State.RETRYING, 0)
    assert Attempt.objects.count() == 1 + MORE_THAN_A_BREAKER_ALLOWS
    assert [entry["details"]["retryable"] for entry in entries("attempt.failed")] == [True] * (
        1 + MORE_THAN_A_BREAKER_ALLOWS
    )
    assert not Breaker.objects.filter(failures__gt=0).exists()
    logged = [record for record in caplog.records if "no file descriptor" in record.getMessage()]
    assert {record.levelname for record in logged} == {"ERROR"}
    exhausted.clear()
    make_due()
    run_due_deliveries()
    cautious.wait_until_quiet()
    customer = cautious.customer(ANNA)
    assert customer is not None
    assert address in str(customer)


def test_a_delivery_that_is_too_old_fails(cautious: Hub, exhausted: list[int]) -> None:
    exhausted.append(port_of("target"))
    cautious.post(EXAMPLE)
    cautious.wait_until_quiet()
    Delivery.objects.update(opened_at="2000-01-01T00:00:00Z")
    make_due()
    run_due_deliveries()
    cautious.wait_until_quiet()
    assert Delivery.objects.get().state == State.DEAD
    assert Event.objects.get().code == "hub-exhausted"
