"""Wake-ups from process to process: "this delivery may run now". Huey's storages carry them: a SQLite file, PostgreSQL
or Redis, by one URL.

A wake-up is the numbers of one delivery or a few, in decimal digits, and nothing else. It may be lost, doubled or late:
what is true is in the deliveries table, and the sweep finds what nobody was told of.

Of Huey only the storages are used. Through Django's Tasks API (`huey.contrib.djhuey.tasks_backend`, with
`django-tasks` 0.12) a message cost 0.39 ms of CPU, there and back, against 0.04 ms here, and left a result row that
nobody deletes; Huey's own tasks (0.09 ms) look for revocations around every run and unpickle what they are sent. Its
consumer polls with every thread (one LISTEN connection each), and ends gracefully on SIGTERM or on SIGINT, not both.
"""

import logging
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
from huey.storage import PostgresStorage, RedisStorage, SqliteStorage  # type: ignore[import-untyped]
from redis import ConnectionPool, RedisError

logger = logging.getLogger("hub.queue")

NAME = "hub"
LOCAL = "local"
TAKE_SECONDS = 0.5
MOST_TOGETHER = 8
_POLL_SECONDS = 0.05
_QUIET_SECONDS, _QUIET_POLL_SECONDS = 5.0, 0.2
_REST_SECONDS = 5.0
# The database server ends what takes longer; the network, what nobody answers. A crash may lose wake-ups.
_POSTGRESQL = {
    "connect_timeout": 5,
    "tcp_user_timeout": 5000,
    "options": "-c statement_timeout=5s -c lock_timeout=2s -c synchronous_commit=off",
    "application_name": "integration-hub queue",
}


AWAY = (sqlite3.Error, psycopg.Error, RedisError, OSError)


class UnknownQueue(ValueError):
    """QUEUE_URL is of no kind that there is, or not whole; the sentence shows no password."""


def is_local(url: str) -> bool:
    """Whether there is no queue: deferred deliveries run in the process that deferred them."""
    return urlsplit(url).scheme == LOCAL


def _sqlite(url: str) -> Any:
    """A file of its own, made with its folder. Nothing waits for the disk: what a power cut takes, the sweep finds."""
    path = Path(_sqlite_path(url))
    path.parent.mkdir(parents=True, exist_ok=True)
    return SqliteStorage(NAME, filename=str(path), fsync=False, timeout=2, strict_fifo=True)


def _postgresql(url: str) -> Any:
    """Tables of its own (`huey_…`) in that database, and one more connection that listens."""
    try:
        return PostgresStorage(NAME, dsn=url, read_timeout=TAKE_SECONDS, **_POSTGRESQL)
    except psycopg.errors.UniqueViolation:  # another process made the tables at the same moment
        return PostgresStorage(NAME, dsn=url, read_timeout=TAKE_SECONDS, **_POSTGRESQL)
    except psycopg.errors.InsufficientPrivilege:  # the role may make no tables: `grant_rights` made them
        return PostgresStorage(NAME, dsn=url, read_timeout=TAKE_SECONDS, create_tables=False, **_POSTGRESQL)


def make_tables(url: str) -> None:
    """What a queue in PostgreSQL needs, for a role that may make no tables. Nothing for a queue elsewhere."""
    if urlsplit(url).scheme in ("postgres", "postgresql"):
        _postgresql(url).close()


def _redis(url: str) -> Any:
    """A list in that database of the server; one database number a hub."""
    pool = ConnectionPool.from_url(url, socket_timeout=5, socket_connect_timeout=5)
    return RedisStorage(NAME, connection_pool=pool, read_timeout=TAKE_SECONDS)


_OPENERS: dict[str, Callable[[str], Any]] = {
    "sqlite": _sqlite,
    "postgres": _postgresql,
    "postgresql": _postgresql,
    "redis": _redis,
    "rediss": _redis,
}


def _sqlite_path(url: str) -> str:
    return unquote(urlsplit(url).path[1:])


def validate(url: str) -> None:
    """`UnknownQueue` unless it is the URL of a queue, or `local:`. Connects to nothing."""
    scheme = urlsplit(url).scheme
    if scheme == LOCAL:
        return
    if scheme not in _OPENERS:
        kinds = ", ".join(f"{each}:" for each in (LOCAL, *_OPENERS))
        raise UnknownQueue(f"QUEUE_URL begins with {scheme or 'no scheme'}:; the kinds are {kinds}")
    if scheme == "sqlite" and not _sqlite_path(url):
        raise UnknownQueue(
            "QUEUE_URL names no file; four slashes begin an absolute path: sqlite:////var/queue.sqlite3"
        )
    if scheme != "sqlite" and not urlsplit(url).netloc and "host=" not in urlsplit(url).query:
        raise UnknownQueue(f"QUEUE_URL names no host: {scheme}://host/database")


class WakeUps:
    """One end of a queue. Nothing connects before it is used, and no method raises for a queue that is away.

    A failure is logged once, the queue is left alone for a few seconds, then opened afresh.
    """

    def __init__(self, url: str) -> None:
        validate(url)
        self._url = url
        self._storage: Any = None
        self._file: tuple[int, int] | None = None
        self._rests_until = 0.0
        self._came_at = 0.0
        self._is_away = False

    def put(self, *delivery_ids: int) -> bool:
        """Whether the queue took these, as one message: at most `MOST_TOGETHER`."""
        data = b" ".join([b"%d" % each for each in delivery_ids])
        return bool(self._try(lambda storage: storage.enqueue(data) or True))

    def take(self) -> list[int]:
        """The next deliveries to wake, waiting for them at most half a second; none where nothing came.

        A storage that cannot wait is asked again and again, and less often where nothing has come for a while.
        """
        until = time.monotonic() + TAKE_SECONDS
        while True:
            data = self._try(lambda storage: storage.dequeue())
            now = time.monotonic()
            if data is not None:
                self._came_at = now
                return _numbers(data)
            if now >= until:
                return []
            time.sleep(_POLL_SECONDS if now - self._came_at < _QUIET_SECONDS else _QUIET_POLL_SECONDS)

    def close(self) -> None:
        storage, self._storage = self._storage, None
        if storage is None:
            return
        try:
            storage.close()
        except AWAY as error:
            logger.debug("the queue's connection did not close: %s", type(error).__name__)

    def _try(self, use: Callable[[Any], Any]) -> Any:
        """What the storage answered; None while it is away."""
        if time.monotonic() < self._rests_until:
            return None
        try:
            answer = use(self._opened())
        except AWAY as error:
            self._leave_alone(error)
            return None
        if self._is_away:
            self._is_away = False
            logger.warning("the queue is back")
        return answer

    def _opened(self) -> Any:
        if self._storage is not None and self._file != self._file_now():
            self.close()  # somebody removed or replaced the file: the open one is nobody's any more
        if self._storage is None:
            self._storage = _OPENERS[urlsplit(self._url).scheme](self._url)
            self._file = self._file_now()
        return self._storage

    def _file_now(self) -> tuple[int, int] | None:
        """Which file the path of a SQLite queue leads to."""
        if urlsplit(self._url).scheme != "sqlite":
            return None
        try:
            found = os.stat(_sqlite_path(self._url))  # noqa: PTH116 - a tenth of Path.stat, once a message
        except FileNotFoundError:
            return None
        return (found.st_dev, found.st_ino)

    def _leave_alone(self, error: Exception) -> None:
        self.close()
        self._rests_until = time.monotonic() + _REST_SECONDS
        if not self._is_away:
            self._is_away = True
            logger.warning("the queue is away (%s); the sweep goes on without it", type(error).__name__)


def _numbers(data: bytes) -> list[int]:
    try:
        return [int(each) for each in bytes(data).split()[:MOST_TOGETHER]]
    except ValueError:
        logger.warning("dropped a message of the queue that does not number deliveries")
        return []
