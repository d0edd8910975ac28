"""Deferring: after the commit, at once, and harmless whatever state the queue is in."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import transaction

from sync.execution import queue_storage
from sync.execution.queue_storage import MOST_TOGETHER, UnknownQueue, WakeUps, validate
from sync.execution.wakeup_sender import Courier, defer
from tests.support.processes.queues import KINDS, queue_of, queue_that, wait_until


@pytest.fixture(params=KINDS)
def queue_url(request: pytest.FixtureRequest, tmp_path: Path, settings: Any) -> Iterator[str]:
    with queue_of(request.param, tmp_path) as url:
        settings.QUEUE_URL = url
        yield url


@pytest.fixture
def file_queue(tmp_path: Path, settings: Any) -> str:
    settings.QUEUE_URL = f"sqlite:///{tmp_path / 'queue.sqlite3'}"
    return str(settings.QUEUE_URL)


def not_here(delivery_ids: list[int]) -> None:
    raise AssertionError("there is a queue")


def taken(url: str) -> list[int]:
    """All that the queue holds now."""
    wake_ups, found = WakeUps(url), []
    while together := wake_ups.take():
        found += together
    wake_ups.close()
    return found


def test_what_is_deferred_can_be_taken_once_in_order_from_another_process(
    database: None, queue_url: str
) -> None:
    defer([3, 1], here=not_here)
    defer([2**60], here=not_here)
    assert taken_soon(queue_url, 3) == [3, 1, 2**60]
    assert taken(queue_url) == []


def test_deferring_waits_for_the_commit_and_a_rollback_forgets_it(database: None, file_queue: str) -> None:
    with transaction.atomic():
        defer([1], here=not_here)
        transaction.set_rollback(True)
    with transaction.atomic():
        defer([2], here=not_here)
        assert taken(file_queue) == []
    assert taken_soon(file_queue, 1) == [2]


def test_without_a_queue_deliveries_run_in_this_process_after_the_commit(
    database: None, settings: Any
) -> None:
    settings.QUEUE_URL = "local:"
    ran: list[int] = []
    with transaction.atomic():
        defer(iter([1, 2]), here=ran.extend)
        assert ran == []
    assert ran == [1, 2]


def test_an_executor_that_fails_after_the_commit_does_not_fail_the_webhook(
    database: None, settings: Any
) -> None:
    settings.QUEUE_URL = "local:"
    with transaction.atomic():
        defer([1], here=not_here)


@pytest.mark.parametrize("state", ["locked", "not a database", "in no folder", "refuses", "hangs", "stalls"])
def test_a_queue_that_is_away_holds_nobody_up(
    database: None, tmp_path: Path, settings: Any, state: str
) -> None:
    with queue_that(state, tmp_path) as settings.QUEUE_URL:
        began = time.perf_counter()
        for number in range(200):
            defer([number], here=not_here)
        assert time.perf_counter() - began < 0.5


def test_a_courier_whose_queue_hangs_drops_what_exceeds_its_line(tmp_path: Path) -> None:
    with queue_that("hangs", tmp_path) as url:
        courier = Courier(url)
        courier.hand(range(30_000))
        assert courier.waiting <= 10_000
        assert not courier.flush(0.1)


def test_a_queue_that_comes_back_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_storage, "_REST_SECONDS", 0.1)
    url = f"sqlite:///{tmp_path / 'queue.sqlite3'}"
    (tmp_path / "queue.sqlite3").mkdir()
    wake_ups = WakeUps(url)
    assert not wake_ups.put(1)
    (tmp_path / "queue.sqlite3").rmdir()
    assert not wake_ups.put(2), "it was not left alone"
    wait_until(lambda: wake_ups.put(3), 2)
    assert taken(url) == [3]


def test_who_has_the_file_open_notices_that_it_was_removed(file_queue: str, tmp_path: Path) -> None:
    putting, taking = WakeUps(file_queue), WakeUps(file_queue)
    assert putting.put(1)
    assert taking.take() == [1]
    for path in tmp_path.glob("queue.sqlite3*"):
        path.unlink()
    assert putting.put(2)
    assert taken(file_queue) == [2], "it went to a file that nobody can find any more"
    assert WakeUps(file_queue).put(3)
    assert taking.take() == [3]


def test_a_file_is_looked_at_less_often_while_nothing_comes(
    file_queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment, slept = [1000.0], list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        moment[0] += seconds

    monkeypatch.setattr(queue_storage, "time", SimpleNamespace(monotonic=lambda: moment[0], sleep=sleep))
    taken = WakeUps(file_queue)
    assert (taken.take(), len(slept)) == ([], 3)
    WakeUps(file_queue).put(7)
    assert taken.take() == [7]
    slept.clear()
    assert taken.take() == []
    assert len(slept) >= 10
    moment[0] += 5
    slept.clear()
    assert (taken.take(), len(slept)) == ([], 3)


def test_only_the_numbers_of_deliveries_are_taken_from_a_queue(queue_url: str) -> None:
    wake_ups = WakeUps(queue_url)
    wake_ups._opened().enqueue(b"cposix\nsystem\n(S'true'\ntR.")
    wake_ups.put(7)
    assert [wake_ups.take(), wake_ups.take()] == [[], [7]]


def test_a_few_go_as_one_message_and_a_message_wakes_no_more(queue_url: str) -> None:
    wake_ups = WakeUps(queue_url)
    assert wake_ups.put(5, 3, 8)
    wake_ups._opened().enqueue(b" ".join(b"%d" % each for each in range(1_000)))
    assert [wake_ups.take(), wake_ups.take()] == [[5, 3, 8], list(range(MOST_TOGETHER))]


def test_what_comes_while_a_message_is_carried_goes_together_with_the_next(
    file_queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages: list[tuple[int, ...]] = []
    is_busy, goes_on = threading.Event(), threading.Event()

    def put(_: WakeUps, *delivery_ids: int) -> bool:
        messages.append(delivery_ids)
        is_busy.set()
        return goes_on.wait(10)

    monkeypatch.setattr(WakeUps, "put", put)
    courier = Courier(file_queue)
    courier.hand([0])
    assert is_busy.wait(10)
    courier.hand(range(1, 12))
    goes_on.set()
    assert courier.flush(10)
    assert messages == [(0,), tuple(range(1, 9)), (9, 10, 11)]


def test_many_takers_take_each_message_once(queue_url: str) -> None:
    wake_ups, found, lock = WakeUps(queue_url), [], threading.Lock()
    for number in range(60):
        assert wake_ups.put(number)

    def take() -> None:
        mine = taken(queue_url)
        with lock:
            found.extend(mine)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(found) == list(range(60))


def test_deferring_costs_little(database: None, file_queue: str) -> None:
    defer([0], here=not_here)
    began = time.process_time()
    for number in range(500):
        defer([number], here=not_here)
    assert len(taken_soon(file_queue, 501)) == 501
    assert (time.process_time() - began) / 500 < 0.0006, "put and taken, milliseconds of CPU each"


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("amqp://user:secret@host/", "QUEUE_URL begins with amqp:"),
        ("queue.sqlite3", "QUEUE_URL begins with no scheme:"),
        ("sqlite:///", "QUEUE_URL names no file"),
        ("redis:///0", "QUEUE_URL names no host"),
        ("postgres:///hub", "QUEUE_URL names no host"),
    ],
)
def test_a_wrong_address_is_refused_at_the_start(settings: Any, url: str, complaint: str) -> None:
    settings.QUEUE_URL = url
    [message] = [each for each in run_checks() if each.id == "hub.E006"]
    assert complaint in message.msg
    assert "secret" not in message.msg
    with pytest.raises(SystemCheckError):
        call_command("run_worker", skip_checks=False)
    with pytest.raises(UnknownQueue):
        WakeUps(url)


@pytest.mark.parametrize(
    "url", ["local:", "sqlite:////tmp/q", "redis://h:1/2", "postgresql:///q?host=/tmp", "rediss://h"]
)
def test_a_right_address_passes_and_nothing_is_connected_to(url: str) -> None:
    validate(url)
    if url != "local:":
        WakeUps(url)


def taken_soon(url: str, count: int) -> list[int]:
    found: list[int] = []

    def is_complete() -> bool:
        found.extend(taken(url))
        return len(found) >= count

    wait_until(is_complete, 8)
    return found
