"""Send messages about deliveries in a thread of their own, so that a receiver that hangs holds up no request.

Messages may be lost: what cannot be sent is dropped, and a worker finds the deliveries in the database.
"""

import atexit
import logging
import os
import queue
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial

logger = logging.getLogger("hub.wakeups")

# Bounds the memory while the receiver is unavailable. Polling finds the deliveries that are dropped.
MAX_WAITING = 10_000
# After a failure: each call to an unavailable receiver may last until its timeout.
_PAUSE_SECONDS = 5.0


class PauseAfterFailure:
    """Calls a service that may be unavailable; after a failed call it makes none for some seconds.

    `name`: the service, for the log, which has one line when it becomes unavailable and one when it is back.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._paused_until = 0.0
        self._is_away = False

    def call(self, run: Callable[[], object]) -> bool:
        """Make a call. Returns False if it failed, or was not made because an earlier one has just failed."""
        if time.monotonic() < self._paused_until:
            return False
        try:
            run()
        except Exception as error:  # noqa: BLE001 - brokers have many kinds, each with errors of its own
            if not self._is_away:
                logger.warning("%s is unavailable (%s); workers poll", self._name, type(error).__name__)
            self._is_away = True
            self._paused_until = time.monotonic() + _PAUSE_SECONDS * random.uniform(0.75, 1.25)  # noqa: S311 - spreads
            return False
        if self._is_away:
            logger.warning("%s is available again", self._name)
        self._is_away = False
        return True


class BackgroundSender:
    """A bounded queue of deliveries and the thread that sends them.

    Each call of `send` gets at most `max_together` deliveries: those that were queued while the previous message was
    sent, and in the `pause_seconds` after it.
    """

    def __init__(
        self, name: str, send: Callable[[list[int]], object], max_together: int, pause_seconds: float = 0.0
    ) -> None:
        self.pid = os.getpid()
        self._send, self._max_together, self._pause_seconds = send, max_together, pause_seconds
        self._receiver = PauseAfterFailure(name)
        self._queue: queue.Queue[int] = queue.Queue(MAX_WAITING)
        # A daemon thread, so that a receiver that hangs does not keep the process from ending.
        threading.Thread(target=self._send_forever, name="background-sender", daemon=True).start()

    def submit(self, delivery_ids: Iterable[int]) -> None:
        """Queue deliveries to be sent. Never waits; drops what exceeds `MAX_WAITING`."""
        for delivery_id in delivery_ids:
            try:
                self._queue.put_nowait(delivery_id)
            except queue.Full:
                return

    @property
    def waiting_count(self) -> int:
        """Return the number of deliveries in the queue."""
        return self._queue.qsize()

    def flush(self, seconds: float) -> bool:
        """Wait at most `seconds` until everything was sent or dropped. Returns False if it was not."""
        until = time.monotonic() + seconds
        while self._queue.unfinished_tasks:
            if time.monotonic() >= until:
                return False
            time.sleep(0.005)
        return True

    def _send_forever(self) -> None:
        while True:
            delivery_ids = [self._queue.get(), *self._take_waiting()]
            self._receiver.call(partial(self._send, delivery_ids))
            for _ in delivery_ids:
                self._queue.task_done()
            # What arrives during this pause goes out together in the next message.
            if self._pause_seconds:
                time.sleep(self._pause_seconds)

    def _take_waiting(self) -> Iterator[int]:
        for _ in range(self._max_together - 1):
            try:
                yield self._queue.get_nowait()
            except queue.Empty:
                return


class ProcessSender:
    """The one sender of this process: created on first use, and again after a fork.

    Flushed when the process ends: a command that ends right after it deferred still sends its messages.
    """

    def __init__(self, make: Callable[[], BackgroundSender]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._sender: BackgroundSender | None = None
        atexit.register(self._flush_at_exit)

    def get_sender(self) -> BackgroundSender:
        """Return this process's sender."""
        sender = self._sender
        # Checked without the lock first: this runs for each webhook. A forked process has no thread of its parent's
        # sender.
        if sender is not None and sender.pid == os.getpid():
            return sender
        with self._lock:
            if self._sender is None or self._sender.pid != os.getpid():
                self._sender = self._make()
            return self._sender

    def _flush_at_exit(self) -> None:
        # A forked process inherits this handler, but no thread that would empty the queue.
        if self._sender is not None and self._sender.pid == os.getpid():
            self._sender.flush(1.0)
