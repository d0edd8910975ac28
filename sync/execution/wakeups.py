"""Wake workers as soon as a delivery may run. On PostgreSQL by LISTEN/NOTIFY; on SQLite workers poll.

A wake-up may be lost, doubled or late, and carries no data: the deliveries table is the truth, and every worker polls
it as well.
"""

import random
import time
from collections.abc import Callable, Iterable
from typing import Any

import psycopg

from database.connection import thread_connection
from sync.execution.background_sender import MAX_WAITING, BackgroundSender, PauseAfterFailure, ProcessSender

CHANNEL = "hub_deliveries"
_SERVER_NAME = "the connection for notifications"
# Between two notifications of a process: one is enough for all deliveries that came meanwhile.
_MIN_INTERVAL_SECONDS = 0.02
# Spreads the workers that hear the same notification: mostly the first one claims what is there.
_SPREAD_SECONDS = 0.03
# A server that does not respond is noticed within seconds; keepalives keep a firewall from dropping an idle
# connection.
_CONNECTION_LIMITS = {
    "connect_timeout": 5,
    "tcp_user_timeout": 5000,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
}


def notify_workers(delivery_ids: Iterable[int]) -> None:
    """Notify the workers of all processes that deliveries may run. Never waits and never raises.

    The keys of the deliveries are not passed on: workers read them from the database.
    """
    if thread_connection().vendor == "postgresql":
        _sender.get_sender().submit(delivery_ids)


def _open_notify_connection() -> psycopg.Connection[Any]:
    """Open a connection in autocommit, outside the pool: a notification inside a webhook's transaction would make its
    commit wait for a lock of the whole database.
    """
    parameters = thread_connection().get_connection_params()
    options = f"{parameters.get('options', '')} -c statement_timeout=5s"
    named = {"application_name": "integration-hub wake-ups", "options": options}
    return psycopg.connect(**parameters | _CONNECTION_LIMITS | named, autocommit=True)


class _LazyConnection:
    """A connection that opens on first use, and closes after a failure."""

    def __init__(self, greeting: str = "") -> None:
        self._greeting = greeting
        self._connection: psycopg.Connection[Any] | None = None

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    def run_with_connection(self, run: Callable[[psycopg.Connection[Any]], object]) -> None:
        """Call a function with the connection. On an error of the connection, closes it and raises the error."""
        try:
            run(self._connection or self._open_connection())
        except (psycopg.Error, OSError):
            # A broken connection is replaced at the next call.
            broken, self._connection = self._connection, None
            if broken is not None:
                broken.close()
            raise

    def _open_connection(self) -> psycopg.Connection[Any]:
        opened = _open_notify_connection()
        if self._greeting:
            opened.execute(self._greeting)
        self._connection = opened
        return opened


class WakeupListener:
    """Waits for notifications in a worker. Sleeps for the full time while the server cannot be reached."""

    def __init__(self, sleep: Callable[[float], object] = time.sleep) -> None:
        self._sleep = sleep
        self._link = _LazyConnection(f"LISTEN {CHANNEL}")
        self._server = PauseAfterFailure(_SERVER_NAME)

    def wait(self, seconds: float) -> None:
        """Return soon after a notification, at once if the connection is new, or after `seconds`."""
        until = time.monotonic() + seconds
        if not self._link.is_open:
            if self._server.call(lambda: self._link.run_with_connection(lambda _: None)):
                # Notifications before LISTEN were not heard: the caller must poll now.
                return
        elif self._server.call(
            lambda: self._link.run_with_connection(
                lambda connection: self._await_notification(connection, seconds)
            )
        ):
            return
        self._sleep(max(0.0, until - time.monotonic()))

    def _await_notification(self, connection: psycopg.Connection[Any], seconds: float) -> None:
        if list(connection.notifies(timeout=seconds, stop_after=1)):
            self._sleep(random.uniform(0, _SPREAD_SECONDS))  # noqa: S311 - spreads, hides nothing


def _make_sender() -> BackgroundSender:
    link = _LazyConnection()

    # The keys are dropped: one notification serves all, since workers read the database.
    def notify(_: list[int]) -> None:
        link.run_with_connection(lambda connection: connection.execute(f"NOTIFY {CHANNEL}"))

    return BackgroundSender(_SERVER_NAME, notify, MAX_WAITING, _MIN_INTERVAL_SECONDS)


_sender = ProcessSender(_make_sender)
