"""A clock that can be set, for this process: what runs meanwhile is dated as if it had run then.

The only place that moves times. No row is dated afterwards: the audit log holds digests of the rows and of their times.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from email.utils import format_datetime
from typing import Any
from unittest.mock import patch

import django.utils.timezone
from django.db import connection
from django.db.backends.sqlite3.base import DatabaseWrapper

import config_schema.codes.reference
import connectors.exchange
import sandbox.base.clock
import sandbox.http.server

# They read the clock of the machine: for everything of Django's, for references, requests and the stand-in systems.
_READERS = (django.utils.timezone, config_schema.codes.reference, connectors.exchange, sandbox.base.clock)

_database = sqlite3.connect(":memory:", check_same_thread=False)
_lock = threading.Lock()
_read: Callable[[], datetime] | None = None


class MovedClock:
    """The machine's clock plus an offset."""

    def __init__(self) -> None:
        self._offset = timedelta(0)

    def now(self, zone: tzinfo = UTC) -> datetime:
        """Return the time."""
        return (datetime.now(UTC) + self._offset).astimezone(zone)

    def set_back(self, **ago: float) -> None:
        """Set the clock to the present minus a `timedelta` with these arguments; it runs on from there."""
        self._offset = -timedelta(**ago)

    def advance(self, seconds: float) -> None:
        """Set the clock forward."""
        self._offset += timedelta(seconds=seconds)


@contextmanager
def moved_clock() -> Iterator[MovedClock]:
    """Yield a clock that Django, SQLite and the stand-in systems of this process use inside the block.

    Enter it while no other thread uses the database, which must be SQLite.
    """
    clock = MovedClock()

    class AnyDatetime(type(datetime)):  # type: ignore[misc]
        """The type of a class of which every `datetime` is an instance."""

        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, datetime)

    class ClockOfProcess(datetime, metaclass=AnyDatetime):
        """The class `datetime`, with another time."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return clock.now(tz or UTC)

    def format_date(*_: object, **__: object) -> str:
        return format_datetime(clock.now(), usegmt=True)

    with ExitStack() as patches:
        for module in _READERS:
            patches.enter_context(patch.object(module, "datetime", ClockOfProcess))
        patches.enter_context(patch.object(sandbox.http.server, "formatdate", format_date))
        patches.enter_context(set_database_clock(clock.now))
        yield clock


@contextmanager
def set_database_clock(read: Callable[[], datetime]) -> Iterator[None]:
    """Let SQLite use this clock: on all connections that are opened inside the block, and on that of the transaction
    in which the block is.
    """
    global _read  # noqa: PLW0603 - SQLite calls a function of the module
    if connection.in_atomic_block:
        _replace_strftime(connection.connection)
    else:
        connection.close()
    open_connection = DatabaseWrapper.get_new_connection

    def open_with_clock(self: DatabaseWrapper, parameters: Any) -> Any:
        return _replace_strftime(open_connection(self, parameters))

    _read = read
    try:
        with patch.object(DatabaseWrapper, "get_new_connection", open_with_clock):
            yield
    finally:
        _read = None


def _replace_strftime(raw_connection: Any) -> Any:
    # It stays: SQLite cannot restore a function of its own.
    raw_connection.create_function("strftime", -1, _strftime, deterministic=True)
    return raw_connection


def _strftime(*arguments: Any) -> Any:
    """Do what SQLite's function of this name does, with the other clock while there is one."""
    read, values = _read, list(arguments)
    if read is not None:
        now = f"{read():%F %T.%f}"[:-3]
        values = [now if str(value).lower() == "now" else value for value in values]
    with _lock:
        marks = ", ".join("?" * len(values))
        return _database.execute(f"SELECT strftime({marks})", values).fetchone()[0]
