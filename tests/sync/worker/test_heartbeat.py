"""A worker and Celery's beat show by the age of a file that they make their rounds, also while the database is away."""

import logging
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from django.db import OperationalError

from sync.worker import heartbeat
from sync.worker.beat_scheduler import HeartbeatScheduler
from sync.worker.heartbeat import Heartbeat
from sync.worker.worker import Worker

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]


@pytest.fixture
def file(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(heartbeat, "_INTERVAL_SECONDS", 0.0)
    settings.HEARTBEAT_FILE = str(tmp_path / "heartbeat")
    return tmp_path / "heartbeat"


def test_a_round_that_the_database_ends_is_a_round_and_one_that_hangs_is_none(file: Path) -> None:
    worker, began, ends = (
        Worker(1, 0.0, is_notified=False),
        [threading.Event() for _ in range(3)],
        threading.Event(),
    )
    rounds = iter(began)

    def dispatch() -> float:
        file.unlink()  # fails unless this round has touched it
        this = next(rounds)
        this.set()
        if this is not began[-1]:
            raise OperationalError
        ends.wait(30)
        return 60.0

    worker._dispatcher.dispatch_due = dispatch  # type: ignore[method-assign]
    dispatcher = threading.Thread(
        target=worker._call_repeatedly, args=(worker._dispatch_due, lambda _: time.sleep(0.01)), daemon=True
    )
    dispatcher.start()
    try:
        assert began[-1].wait(10)
        assert not file.exists()
    finally:
        worker.drain(0)
        ends.set()
    dispatcher.join(30)


def test_beat_touches_its_file_in_each_round(file: Path) -> None:
    scheduler = HeartbeatScheduler(Celery("of-a-test"), lazy=True)
    for _ in range(2):
        scheduler.tick()
        file.unlink()


def test_a_worker_whose_file_cannot_be_written_works_and_logs_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(heartbeat, "_INTERVAL_SECONDS", 0.0)
    unwritable = Heartbeat(str(tmp_path / "absent" / "heartbeat"))
    with caplog.at_level(logging.WARNING, "hub.worker"):
        for _ in range(3):
            unwritable.beat()
    assert [record.getMessage() for record in caplog.records] == [
        "HEARTBEAT_FILE cannot be written: No such file or directory"
    ]
    Heartbeat("").beat()
