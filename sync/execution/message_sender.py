"""Sends messages of deliveries to a broker, in a thread of its own, so that a broker that hangs holds up no request.

Messages may be lost: what cannot be sent is dropped, and a worker finds the rows.
"""

import atexit
import logging
import os
import queue
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator

logger = logging.getLogger("hub.wakeups")

Send = Callable[[list[int]], object]

_LONGEST_LINE = 10_000
MOST_TOGETHER = 8
_REST_SECONDS = 5.0


class MessageSender:
    """A bounded line of deliveries, and the thread that sends them."""

    def __init__(self, send: Send) -> None:
        self.pid = os.getpid()
        self._send = send
        self._line: queue.Queue[int] = queue.Queue(_LONGEST_LINE)
        self._is_away = False
        threading.Thread(target=self._run, name="messages", daemon=True).start()

    def hand(self, delivery_ids: Iterable[int]) -> None:
        """Queue deliveries to be sent. Never waits; beyond ten thousand that wait already, it drops."""
        for delivery_id in delivery_ids:
            try:
                self._line.put_nowait(delivery_id)
            except queue.Full:
                return

    @property
    def waiting(self) -> int:
        """How many have not been sent yet."""
        return self._line.qsize()

    def flush(self, seconds: float) -> bool:
        """Wait until all were sent or dropped, at most `seconds`; whether it came to that."""
        until = time.monotonic() + seconds
        while self._line.unfinished_tasks:
            if time.monotonic() >= until:
                return False
            time.sleep(0.005)
        return True

    def _run(self) -> None:
        rests_until = 0.0
        while True:
            together = [self._line.get(), *self._more()]
            if time.monotonic() >= rests_until and not self._try(together):
                rests_until = time.monotonic() + _REST_SECONDS * random.uniform(0.75, 1.25)  # noqa: S311 - spreads
            for _ in together:
                self._line.task_done()

    def _more(self) -> Iterator[int]:
        """What came while the last message was sent: a few go as one."""
        for _ in range(MOST_TOGETHER - 1):
            try:
                yield self._line.get_nowait()
            except queue.Empty:
                return

    def _try(self, delivery_ids: list[int]) -> bool:
        """Send one message; False if that failed, which is logged once until it works again."""
        try:
            self._send(delivery_ids)
        except Exception as error:  # noqa: BLE001 - brokers have many kinds, each with errors of its own
            if not self._is_away:
                logger.warning("the broker is away (%s); workers poll", type(error).__name__)
            self._is_away = True
            return False
        if self._is_away:
            logger.warning("the broker is back")
        self._is_away = False
        return True


_lock = threading.Lock()
_only: MessageSender | None = None


def sender_of(send: Send) -> MessageSender:
    """Return this process's sender; made when it is first asked for, and again after a fork."""
    global _only  # noqa: PLW0603 - one a process
    with _lock:
        if _only is None or _only.pid != os.getpid():
            _only = MessageSender(send)
        return _only


@atexit.register
def _flush_at_exit() -> None:
    """A command that ends right after it deferred still gets its messages out."""
    if _only is not None and _only.pid == os.getpid():
        _only.flush(1.0)
