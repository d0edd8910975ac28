"""Messages about deliveries: sent by a thread, dropped if the receiver is unavailable, never waited for."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from sync.execution import background_sender
from sync.execution.background_sender import MAX_WAITING, BackgroundSender, ProcessSender
from tests.support.processes.hub_processes import ROOT
from tests.support.processes.workers import wait_until

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

TOGETHER = 8


def sender_with(send: Callable[[list[int]], object]) -> BackgroundSender:
    return BackgroundSender("the broker", send, TOGETHER)


def never_answers(ends: threading.Event) -> Callable[[list[int]], object]:
    return lambda _: ends.wait(60)


def test_submitted_messages_are_sent_in_order_in_small_groups() -> None:
    sent: list[list[int]] = []
    goes_on = threading.Event()

    def send(delivery_ids: list[int]) -> None:
        goes_on.wait(60)
        sent.append(delivery_ids)

    sender = sender_with(send)
    sender.submit([0])
    wait_until(lambda: sender.waiting_count == 0, 60)
    sender.submit(range(1, 12))
    goes_on.set()
    assert sender.flush(60)
    assert sent == [[0], list(range(1, TOGETHER + 1)), list(range(TOGETHER + 1, 12))]


def test_messages_in_the_pause_after_a_message_are_sent_together(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[list[int]] = []
    pauses, goes_on = list[float](), threading.Event()

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        assert goes_on.wait(60)

    monkeypatch.setattr(background_sender, "time", SimpleNamespace(monotonic=time.monotonic, sleep=pause))
    sender = BackgroundSender("the broker", sent.append, MAX_WAITING, pause_seconds=0.5)
    sender.submit([0])
    wait_until(lambda: pauses == [0.5], 60)
    for number in range(1, 100):
        sender.submit([number])
    goes_on.set()
    wait_until(lambda: len(pauses) == 2, 60)
    assert sent == [[0], list(range(1, 100))]


def test_a_hanging_receiver_delays_no_caller_and_excess_messages_are_dropped() -> None:
    ends = threading.Event()
    sender = sender_with(never_answers(ends))
    for number in range(30_000):
        sender.submit([number])
    assert sender.waiting_count <= MAX_WAITING
    assert not sender.flush(0.1)
    ends.set()


def test_an_unavailable_receiver_is_skipped_and_used_again_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(background_sender, "_PAUSE_SECONDS", 3600.0)
    is_away, tried, sent = True, list[int](), list[int]()

    def send(delivery_ids: list[int]) -> None:
        tried.extend(delivery_ids)
        if is_away:
            raise ConnectionRefusedError
        sent.extend(delivery_ids)

    sender = sender_with(send)
    with caplog.at_level("WARNING", "hub.wakeups"):
        sender.submit([1])
        assert sender.flush(60)
        sender.submit([2])
        assert sender.flush(60)
        assert tried == [1], "it was not left alone"
        is_away = False
        sender._receiver._paused_until = time.monotonic()  # the pause is over
        sender.submit([3])
        assert sender.flush(60)
    assert sent == [3]
    messages = [record.getMessage() for record in caplog.records if record.name == "hub.wakeups"]
    assert messages == [
        "the broker is unavailable (ConnectionRefusedError); workers poll",
        "the broker is available again",
    ]


def test_a_forked_process_has_its_own_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    of_process = ProcessSender(lambda: sender_with(lambda _: None))
    first = of_process.get_sender()
    assert of_process.get_sender() is first
    monkeypatch.setattr(first, "pid", -1)  # as the child sees it
    assert of_process.get_sender() is not first


def test_a_process_that_ends_right_after_submitting_still_sends() -> None:
    script = """
from sync.execution.background_sender import BackgroundSender, ProcessSender
ProcessSender(lambda: BackgroundSender("the broker", lambda ids: print(ids, flush=True), 8)).get_sender().submit([1])
"""
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout == "[1]\n"
