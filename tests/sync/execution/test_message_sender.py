"""Messages to a broker: sent by a thread, dropped where the broker is away, never waited for."""

import threading
import time
from collections.abc import Callable

import pytest

from sync.execution import message_sender
from sync.execution.message_sender import MOST_TOGETHER, MessageSender
from tests.support.processes.workers import wait_until

pytestmark = pytest.mark.pure


def never_answers(ends: threading.Event) -> Callable[[list[int]], object]:
    return lambda _: ends.wait(30)


def test_what_is_handed_over_is_sent_in_order_a_few_together() -> None:
    sent: list[list[int]] = []
    goes_on = threading.Event()

    def send(delivery_ids: list[int]) -> None:
        goes_on.wait(10)
        sent.append(delivery_ids)

    sender = MessageSender(send)
    sender.hand([0])
    wait_until(lambda: sender.waiting == 0, 5)
    sender.hand(range(1, 12))
    goes_on.set()
    assert sender.flush(10)
    assert sent == [[0], list(range(1, MOST_TOGETHER + 1)), list(range(MOST_TOGETHER + 1, 12))]


def test_a_broker_that_hangs_holds_nobody_up_and_what_exceeds_the_line_is_dropped() -> None:
    ends = threading.Event()
    sender = MessageSender(never_answers(ends))
    began = time.perf_counter()
    for number in range(30_000):
        sender.hand([number])
    assert time.perf_counter() - began < 5
    assert sender.waiting <= 10_000
    assert not sender.flush(0.1)
    ends.set()


def test_a_broker_that_is_away_is_left_alone_and_used_again_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(message_sender, "_REST_SECONDS", 0.2)
    is_away, tried, sent = True, list[int](), list[int]()

    def send(delivery_ids: list[int]) -> None:
        tried.extend(delivery_ids)
        if is_away:
            raise ConnectionRefusedError
        sent.extend(delivery_ids)

    sender = MessageSender(send)
    with caplog.at_level("WARNING", "hub.wakeups"):
        sender.hand([1])
        assert sender.flush(5)
        sender.hand([2])
        assert sender.flush(5)
        assert tried == [1], "it was not left alone"
        is_away = False
        time.sleep(0.4)
        sender.hand([3])
        assert sender.flush(5)
    assert sent == [3]
    said = [each.getMessage() for each in caplog.records if each.name == "hub.wakeups"]
    assert said == ["the broker is away (ConnectionRefusedError); workers poll", "the broker is back"]


def test_a_process_that_was_forked_has_a_sender_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_sender, "_only", None)
    first = message_sender.sender_of(lambda _: None)
    assert message_sender.sender_of(lambda _: None) is first
    monkeypatch.setattr(first, "pid", -1)  # as the child sees it
    assert message_sender.sender_of(lambda _: None) is not first
