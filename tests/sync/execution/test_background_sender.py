"""Messages about deliveries: sent by a thread, dropped where the receiver is away, never waited for."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from sync.execution import background_sender
from sync.execution.background_sender import MAX_WAITING, BackgroundSender, ProcessSender
from tests.support.processes.hub_processes import ROOT
from tests.support.processes.workers import wait_until

pytestmark = pytest.mark.pure

TOGETHER = 8


def sender_with(send: Callable[[list[int]], object]) -> BackgroundSender:
    return BackgroundSender("the broker", send, TOGETHER)


def never_answers(ends: threading.Event) -> Callable[[list[int]], object]:
    return lambda _: ends.wait(30)


def test_what_is_submitted_is_sent_in_order_a_few_together() -> None:
    sent: list[list[int]] = []
    goes_on = threading.Event()

    def send(delivery_ids: list[int]) -> None:
        goes_on.wait(10)
        sent.append(delivery_ids)

    sender = sender_with(send)
    sender.submit([0])
    wait_until(lambda: sender.waiting_count == 0, 5)
    sender.submit(range(1, 12))
    goes_on.set()
    assert sender.flush(10)
    assert sent == [[0], list(range(1, TOGETHER + 1)), list(range(TOGETHER + 1, 12))]


def test_what_comes_in_the_pause_after_a_message_is_sent_as_one() -> None:
    sent: list[list[int]] = []
    sender = BackgroundSender("the broker", sent.append, MAX_WAITING, pause_seconds=0.5)
    sender.submit([0])
    wait_until(lambda: sent == [[0]], 5)
    for number in range(1, 100):
        sender.submit([number])
    assert sender.flush(10)
    assert sent == [[0], list(range(1, 100))]


def test_a_receiver_that_hangs_holds_nobody_up_and_what_exceeds_the_queue_is_dropped() -> None:
    ends = threading.Event()
    sender = sender_with(never_answers(ends))
    began = time.perf_counter()
    for number in range(30_000):
        sender.submit([number])
    assert time.perf_counter() - began < 5
    assert sender.waiting_count <= MAX_WAITING
    assert not sender.flush(0.1)
    ends.set()


def test_a_receiver_that_is_away_is_left_alone_and_used_again_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(background_sender, "_PAUSE_SECONDS", 0.2)
    is_away, tried, sent = True, list[int](), list[int]()

    def send(delivery_ids: list[int]) -> None:
        tried.extend(delivery_ids)
        if is_away:
            raise ConnectionRefusedError
        sent.extend(delivery_ids)

    sender = sender_with(send)
    with caplog.at_level("WARNING", "hub.wakeups"):
        sender.submit([1])
        assert sender.flush(5)
        sender.submit([2])
        assert sender.flush(5)
        assert tried == [1], "it was not left alone"
        is_away = False
        time.sleep(0.4)
        sender.submit([3])
        assert sender.flush(5)
    assert sent == [3]
    said = [each.getMessage() for each in caplog.records if each.name == "hub.wakeups"]
    assert said == [
        "the broker is unavailable (ConnectionRefusedError); workers poll",
        "the broker is available again",
    ]


def test_a_process_that_was_forked_has_a_sender_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    of_process = ProcessSender(lambda: sender_with(lambda _: None))
    first = of_process.get_sender()
    assert of_process.get_sender() is first
    monkeypatch.setattr(first, "pid", -1)  # as the child sees it
    assert of_process.get_sender() is not first


def test_a_process_that_ends_right_after_it_submitted_still_sends() -> None:
    script = """
from sync.execution.background_sender import BackgroundSender, ProcessSender
ProcessSender(lambda: BackgroundSender("the broker", lambda ids: print(ids, flush=True), 8)).get_sender().submit([1])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[1]\n"
