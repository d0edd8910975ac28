"""A thread waits for a response of PostgreSQL no longer than its limit, and then goes on with another connection."""

from threading import Thread
from typing import Any

import pytest
from django.db import DatabaseError, OperationalError, connection, transaction
from django.test import Client
from psycopg.errors import QueryCanceled

from database import response_limit
from database.response_limit import limited_responses

pytestmark = [pytest.mark.concurrent, pytest.mark.only_postgresql, pytest.mark.usefixtures("database")]


def run(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def one() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        return int(cursor.fetchone()[0])


def test_a_response_that_does_not_come_is_an_error_of_the_database() -> None:
    with limited_responses(0.3), pytest.raises(OperationalError) as caught:
        run("SET statement_timeout = '60s'; SELECT pg_sleep(120)")
    assert not isinstance(caught.value.__cause__, QueryCanceled), "the server gave up"
    connection.close()
    assert one() == 1


def test_the_limit_ends_with_its_block_and_an_inner_one_comes_first() -> None:
    with limited_responses(30):
        with limited_responses(0.2), pytest.raises(OperationalError):
            run("SELECT pg_sleep(120)")
        connection.close()
        assert getattr(response_limit._threads, "seconds", None) == 30
    assert getattr(response_limit._threads, "seconds", None) is None


def test_a_transaction_whose_response_does_not_come_is_rolled_back_and_the_next_one_works() -> None:
    with limited_responses(60):
        with limited_responses(0.5), pytest.raises(OperationalError), transaction.atomic():
            run("CREATE TABLE of_a_frozen_server (id int)", "SELECT pg_sleep(2)")
        with transaction.atomic():
            assert one() == 1
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('of_a_frozen_server')")
        assert cursor.fetchone() == (None,)


def test_an_error_that_the_server_sends_leaves_the_connection_open() -> None:
    with limited_responses(30):
        connection.ensure_connection()
        before = connection.connection
        with pytest.raises(DatabaseError):
            run("SET statement_timeout = '50ms'; SELECT pg_sleep(60)")
        assert connection.connection is before
        assert not before.closed
        run("RESET statement_timeout")


@pytest.mark.parametrize(
    ("method", "path", "reads_first"),
    [
        ("post", "/webhooks/aurora", "webhooks.receiving.receive.find_source"),
        ("get", "/outcomes/any", "webhooks.views.find_by_token"),
        ("get", "/health", "integration_hub.probes.health.read_clock"),
        ("get", "/ready", "integration_hub.probes.readiness.read_clock"),
    ],
)
def test_machines_are_answered_while_the_database_responds_to_nothing(
    method: str, path: str, reads_first: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.RESPONSE_SECONDS = 0.3
    monkeypatch.setattr(reads_first, lambda *_: run("SELECT pg_sleep(120)"))
    assert getattr(Client(), method)(path).status_code == 503


def test_another_thread_has_no_limit() -> None:
    limits = []
    with limited_responses(0.1):
        other = Thread(target=lambda: limits.append(getattr(response_limit._threads, "seconds", None)))
        other.start()
        other.join()
    assert limits == [None]
