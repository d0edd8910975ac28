"""Wake-ups: tell workers at once that a delivery may run. On PostgreSQL by LISTEN/NOTIFY; on SQLite workers poll.

A wake-up may be lost, doubled or late, and says nothing but "something is due": what is true is in the deliveries
table, and every worker looks there by itself.
"""

import atexit
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import psycopg

from database.connection import thread_connection

logger = logging.getLogger("hub.wakeups")

CHANNEL = "hub_deliveries"
_APART_SECONDS = 0.02  # between two notifications of a process: one is enough for all that came meanwhile
_REST_SECONDS = 5.0  # after a failure
_SPREAD_SECONDS = 0.03  # of workers that hear the same notification: the first mostly claims what is there
# The server ends what takes longer; the network, what nobody answers. A firewall may drop what is quiet for long.
_LIMITS = {"connect_timeout": 5, "tcp_user_timeout": 5000, "keepalives_idle": 30, "keepalives_interval": 10}


def notify_workers(_: Iterable[int]) -> None:
    """Tell the workers of all processes that deliveries may run. Never waits and never raises.

    Which ones they are is not passed on: workers read that from the database.
    """
    if thread_connection().vendor == "postgresql":
        _sender().notify()


def _connect() -> psycopg.Connection[Any]:
    """Open a connection in autocommit, outside the pool: a notification inside a webhook's transaction would make its
    commit wait for a lock of the whole database.
    """
    parameters = thread_connection().get_connection_params()
    options = f"{parameters.get('options', '')} -c statement_timeout=5s"
    named = {"application_name": "integration-hub wake-ups", "options": options}
    return psycopg.connect(**parameters | _LIMITS | named, autocommit=True)


class _Link:
    """A connection that is opened when it is needed. After a failure, which is logged once, it rests for seconds."""

    def __init__(self, greeting: str = "") -> None:
        self._greeting = greeting
        self._connection: psycopg.Connection[Any] | None = None
        self._rests_until = 0.0
        self._is_away = False

    def use(self, run: Callable[[psycopg.Connection[Any]], object]) -> bool:
        """Run something with the connection; False if it rests or that failed."""
        if time.monotonic() < self._rests_until:
            return False
        try:
            run(self._connection or self._open())
        except (psycopg.Error, OSError) as error:
            self._drop(error)
            return False
        return True

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    def _open(self) -> psycopg.Connection[Any]:
        made = _connect()
        if self._greeting:
            made.execute(self._greeting)
        if self._is_away:
            logger.warning("notifications of deliveries are back")
        self._connection, self._is_away = made, False
        return made

    def _drop(self, error: Exception) -> None:
        broken, self._connection = self._connection, None
        if broken is not None:
            broken.close()
        if not self._is_away:
            logger.warning("notifications of deliveries are away (%s); workers poll", type(error).__name__)
        self._is_away = True
        self._rests_until = time.monotonic() + _REST_SECONDS * random.uniform(0.75, 1.25)  # noqa: S311 - spreads


class Listener:
    """A worker's end: waits for notifications. Where they are away, it waits for as long as it may."""

    def __init__(self, sleep: Callable[[float], object] = time.sleep) -> None:
        self._sleep = sleep
        self._link = _Link(f"LISTEN {CHANNEL}")

    def wait(self, seconds: float) -> None:
        """Return soon after a notification, at once if the connection is new, or after so many seconds."""
        until = time.monotonic() + seconds
        if not self._link.is_open:
            if self._link.use(lambda _: None):
                return  # what was notified before was not heard: look
        elif self._link.use(lambda link: self._hear(link, seconds)):
            return
        self._sleep(max(0.0, until - time.monotonic()))

    def _hear(self, link: psycopg.Connection[Any], seconds: float) -> None:
        if list(link.notifies(timeout=seconds, stop_after=1)):
            self._sleep(random.uniform(0, _SPREAD_SECONDS))  # noqa: S311 - spreads, hides nothing


class Sender:
    """A process's end: one thread that notifies, so that a database that hangs holds up no request."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._link = _Link()
        self._is_wanted, self._is_done = threading.Event(), threading.Event()
        threading.Thread(target=self._run, name="wake-ups", daemon=True).start()

    def notify(self) -> None:
        """Let one notification go out soon, however many ask for it meanwhile."""
        self._is_done.clear()
        self._is_wanted.set()

    def flush(self, seconds: float) -> bool:
        """Wait until what was asked for went out or failed, at most `seconds`; whether it came to that."""
        return self._is_done.wait(seconds)

    def _run(self) -> None:
        while self._is_wanted.wait():
            self._is_wanted.clear()
            self._link.use(lambda link: link.execute(f"NOTIFY {CHANNEL}"))
            if not self._is_wanted.is_set():
                self._is_done.set()
            time.sleep(_APART_SECONDS)


_lock = threading.Lock()
_only: Sender | None = None


def _sender() -> Sender:
    global _only  # noqa: PLW0603 - one a process, made after a fork
    found = _only
    if found is not None and found.pid == os.getpid():
        return found
    with _lock:
        if _only is None or _only.pid != os.getpid():
            _only = Sender()
        return _only


@atexit.register
def _flush_at_exit() -> None:
    """A command that ends right after it deferred still gets its notification out."""
    if _only is not None and _only.pid == os.getpid():
        _only.flush(1.0)
