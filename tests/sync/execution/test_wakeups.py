"""Deferring: after the commit, at once, and harmless in any state of the database's notifications."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction

from sync.execution import background_sender, wakeups
from sync.execution.background_sender import ProcessSender
from sync.execution.executor import defer_to_workers
from sync.execution.wakeups import CHANNEL, WakeupListener, notify_workers
from tests.support.processes.workers import own_database, wait_until

pytestmark = pytest.mark.concurrent

only_postgresql = pytest.mark.writers_at_once  # SQLite has no notifications

told: list[list[int]] = []


def tell(delivery_ids: list[int]) -> None:
    """Record the calls to the engine."""
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
    """Reset the notifications of this process; after a failure they pause for a tenth of a second."""
    monkeypatch.setattr(wakeups, "_sender", ProcessSender(wakeups._make_sender))
    monkeypatch.setattr(background_sender, "_PAUSE_SECONDS", 0.1)


@contextmanager
def hearing() -> Iterator[list[str]]:
    """Yield the notifications that another connection receives."""
    heard: list[str] = []
    ends = threading.Event()
    with psycopg.connect(own_database(), autocommit=True) as link:
        link.execute(f"LISTEN {CHANNEL}")

        def collect_notifications() -> None:
            while not ends.is_set():
                heard.extend(notification.channel for notification in link.notifies(timeout=0.1))

        thread = threading.Thread(target=collect_notifications)
        thread.start()
        try:
            yield heard
        finally:
            ends.set()
            thread.join()


def test_deferring_waits_for_the_commit_and_a_rollback_discards_it(engine: list[list[int]]) -> None:
    with transaction.atomic():
        defer_to_workers([1])
        transaction.set_rollback(True)
    with transaction.atomic():
        defer_to_workers(iter([2, 3]))
        assert engine == []
    assert engine == [[2, 3]]
    defer_to_workers([])
    assert engine == [[2, 3]], "nothing is notified for an empty list"


def test_an_engine_that_fails_does_not_fail_the_webhook(database: None, settings: Any) -> None:
    settings.WAKE_WORKERS = f"{__name__}.fail"
    with transaction.atomic():
        defer_to_workers([1])
    defer_to_workers([1])


@pytest.mark.nightly
@only_postgresql
def test_a_listener_wakes_long_before_its_timeout(fresh: None) -> None:
    listener = WakeupListener()
    listener.wait(30)  # a new connection: at once
    threading.Timer(0.2, notify_workers, [[1]]).start()
    began = time.monotonic()
    listener.wait(30)
    assert 0.1 < time.monotonic() - began < 10


@only_postgresql
def test_a_notification_does_not_wait_for_open_transactions(fresh: None) -> None:
    """It is sent over a separate connection: the caller's transaction is neither used nor waited for."""
    with hearing() as heard, transaction.atomic():
        notify_workers([1])
        wait_until(lambda: bool(heard), 60)
        assert connection.in_atomic_block


@pytest.mark.only_sqlite
def test_on_sqlite_nothing_is_notified_or_opened(fresh: None) -> None:
    before = threading.active_count()
    notify_workers([1])
    assert threading.active_count() == before
