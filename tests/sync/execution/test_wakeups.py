"""Deferring: after the commit, at once, and harmless whatever state the database's notifications are in."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction

from sync.execution import background_sender, wakeups
from sync.execution.background_sender import ProcessSender
from sync.execution.executor import defer_to_workers
from sync.execution.wakeups import CHANNEL, WakeupListener, notify_workers
from tests.support.processes.hub_processes import ROOT, WITH_WORKERS, free_port
from tests.support.processes.workers import own_database, wait_until

only_postgresql = pytest.mark.writers_at_once  # SQLite has no notifications

told: list[list[int]] = []


def tell(delivery_ids: list[int]) -> None:
    """In place of an engine: note what it is told."""
    told.append(delivery_ids)


def fail(_: list[int]) -> None:
    raise OSError("the engine is broken")


@pytest.fixture
def engine(settings: Any, database: None) -> list[list[int]]:
    settings.WAKE_WORKERS = f"{__name__}.tell"
    told.clear()
    return told


@pytest.fixture
def fresh(database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process has not notified anybody yet, and what fails rests for a tenth of a second."""
    monkeypatch.setattr(wakeups, "_sender", ProcessSender(wakeups._make_sender))
    monkeypatch.setattr(background_sender, "_PAUSE_SECONDS", 0.1)


@contextmanager
def hearing() -> Iterator[list[str]]:
    """What is notified, as another connection hears it."""
    heard: list[str] = []
    ends = threading.Event()
    with psycopg.connect(own_database(), autocommit=True) as link:
        link.execute(f"LISTEN {CHANNEL}")

        def hear() -> None:
            while not ends.is_set():
                heard.extend(each.channel for each in link.notifies(timeout=0.1))

        thread = threading.Thread(target=hear)
        thread.start()
        try:
            yield heard
        finally:
            ends.set()
            thread.join()


def test_deferring_waits_for_the_commit_and_a_rollback_forgets_it(engine: list[list[int]]) -> None:
    with transaction.atomic():
        defer_to_workers([1])
        transaction.set_rollback(True)
    with transaction.atomic():
        defer_to_workers(iter([2, 3]))
        assert engine == []
    assert engine == [[2, 3]]
    defer_to_workers([])
    assert engine == [[2, 3]], "nobody is told of nothing"


@pytest.mark.parametrize("is_in_transaction", [True, False])
def test_an_engine_that_fails_does_not_fail_the_webhook(
    database: None, settings: Any, is_in_transaction: bool
) -> None:
    settings.WAKE_WORKERS = f"{__name__}.fail"
    if is_in_transaction:
        with transaction.atomic():
            defer_to_workers([1])
    else:
        defer_to_workers([1])


@only_postgresql
def test_many_that_are_deferred_at_once_are_notified_of_together(fresh: None) -> None:
    with hearing() as heard:
        for number in range(500):
            notify_workers([number])
        assert wakeups._sender.get_sender().flush(5)
        wait_until(lambda: bool(heard), 5)
        time.sleep(0.2)
    assert set(heard) == {CHANNEL}
    assert 1 <= len(heard) <= 20


@only_postgresql
def test_a_listener_wakes_long_before_its_time(fresh: None) -> None:
    listener = WakeupListener()
    listener.wait(30)  # a new connection: at once
    threading.Timer(0.2, notify_workers, [[1]]).start()
    began = time.monotonic()
    listener.wait(30)
    assert 0.1 < time.monotonic() - began < 10


@only_postgresql
def test_what_is_notified_while_nobody_waits_is_heard_afterwards(fresh: None) -> None:
    listener = WakeupListener()
    listener.wait(30)
    notify_workers([1])
    assert wakeups._sender.get_sender().flush(5)
    began = time.monotonic()
    listener.wait(30)
    assert time.monotonic() - began < 10


@only_postgresql
def test_a_command_that_ends_right_after_it_deferred_is_heard(database: None) -> None:
    script = "import django; django.setup(); from sync.execution.executor import defer_to_workers; defer_to_workers([1])"
    with hearing() as heard:
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env=os.environ | WITH_WORKERS | {"DATABASE_URL": own_database()},
            check=True,
            timeout=60,
        )
        wait_until(lambda: heard == [CHANNEL], 5)


@contextmanager
def refusing() -> Iterator[int]:
    yield free_port()


@contextmanager
def stalling() -> Iterator[int]:
    """Takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


@only_postgresql
@pytest.mark.parametrize("server", [refusing, stalling])
def test_a_server_that_is_away_holds_nobody_up_and_is_heard_of_once_it_is_back(
    fresh: None, monkeypatch: pytest.MonkeyPatch, server: Callable[[], Any]
) -> None:
    monkeypatch.setitem(wakeups._CONNECTION_LIMITS, "connect_timeout", 2)
    with server() as port:
        with monkeypatch.context() as away:
            away.setattr(wakeups, "_open_notify_connection", lambda: connect_to(port))
            began = time.perf_counter()
            for number in range(200):
                notify_after_commit(number)
            assert time.perf_counter() - began < 0.5
            listener = WakeupListener()
            began = time.monotonic()
            listener.wait(0.3)
            assert 0.25 < time.monotonic() - began < 10
            assert wakeups._sender.get_sender().flush(15)
        time.sleep(0.2)  # its rest
        with hearing() as heard:

            def is_heard() -> bool:
                notify_workers([1])
                return bool(heard)

            wait_until(is_heard, 10)


def notify_after_commit(number: int) -> None:
    with transaction.atomic():
        transaction.on_commit(lambda: notify_workers([number]))


def connect_to(port: int) -> Any:
    return psycopg.connect(host="127.0.0.1", port=port, connect_timeout=2)


@only_postgresql
def test_a_notification_waits_for_no_transaction_that_is_open(fresh: None) -> None:
    """It goes out over a connection of its own: the transaction of whoever notifies is neither used nor waited for."""
    with hearing() as heard, transaction.atomic():
        notify_workers([1])
        wait_until(lambda: bool(heard), 5)
        assert connection.in_atomic_block


@pytest.mark.only_sqlite
def test_on_sqlite_nobody_is_told_and_nothing_is_opened(fresh: None) -> None:
    before = threading.active_count()
    notify_workers([1])
    assert threading.active_count() == before
