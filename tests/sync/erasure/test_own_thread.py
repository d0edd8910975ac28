"""A confirmed erasure does not wait for other work that takes long."""

import threading
import time
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from sync.execution.periodic import Every, Work, run_periodic
from sync.models import Erasure, Periodic
from sync.worker import worker as worker_worker
from sync.worker.schedule import LONG
from sync.worker.worker import Worker
from tests.support.builders.erasure import confirmed, fill, somebody
from tests.support.hub import Hub

SECONDS = 20.0


@pytest.mark.parametrize("is_in_line", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_an_erasure_runs_while_the_log_is_being_verified(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, is_in_line: bool
) -> None:
    """With one thread for all long work, as it was, it would have to wait."""
    verifying, may_end = threading.Event(), threading.Event()

    def verify() -> None:
        verifying.set()
        may_end.wait(60)

    works = (Work("audit", Every(3600), verify), *(each for each in LONG if each.name == "erasures"))
    long_ago = timezone.now() - timedelta(days=1)
    Periodic.objects.bulk_create(Periodic(name=each.name, due_at=long_ago) for each in works)
    monkeypatch.setattr(worker_worker, "LONG", works)
    if is_in_line:
        monkeypatch.setattr(Worker, "_run_periodic", lambda _: run_periodic(works))
    fill([somebody(1)])
    worker = Worker(threads=1)
    worker.start()
    try:
        assert verifying.wait(SECONDS)
        asked = confirmed(somebody(1))
        assert is_done(asked) is not is_in_line
    finally:
        may_end.set()
        worker.drain(SECONDS)
        wait_for_its_threads()


def wait_for_its_threads() -> None:
    """A thread that outlives its test would look into the database of the next."""
    looks = {"dispatcher", "suspects", "clock", "sealer", "replays", *settings.WORKER_LOOKS}
    looks |= {f"long-{name}" for name in ("audit", "erasures")}
    for thread in threading.enumerate():
        if thread.name in looks:
            thread.join(SECONDS)
            assert not thread.is_alive(), thread.name


def is_done(asked: Erasure) -> bool:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        if Erasure.objects.get(pk=asked.pk).state == "done":
            return True
        time.sleep(0.2)
        connection.close()
    return False
