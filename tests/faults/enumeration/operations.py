"""A counter of all operations of this process that are visible from outside; it kills the process at a chosen one, or
breaks the connection to the database after a chosen commit, so that the process gets no answer to it.

Counted are statements, commits and connections of the database (in the driver, below Django), sockets and files. Python
does not see the sockets of PostgreSQL's library: its statements are counted instead.
"""

import builtins
import fcntl
import logging
import os
import signal
import socket
import sqlite3
import threading
from collections.abc import Callable
from typing import Any, NoReturn

import psycopg

Tell = Callable[[str], None]


class Operations:
    """A counter of operations that starts with `begin`. `at` is 1 for the first operation; None kills never.

    `tell` is called right before the kill.
    """

    def __init__(self, at: int | None, *, after: bool, tell: Tell) -> None:
        self.labels: list[str] = []
        self._at, self._after, self._tell = at, after, tell
        self._lock = threading.Lock()
        self._is_on = False

    def begin(self) -> None:
        self._is_on = True

    def end(self) -> None:
        self._is_on = False

    def count_calls(self, label: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        """Return the operation wrapped so that each call is counted."""

        def run(*arguments: Any, **named: Any) -> Any:
            if not self._is_on:
                return operation(*arguments, **named)
            number = self._next(label)
            if number == self._at and not self._after:
                self._die(label)
            try:
                return operation(*arguments, **named)
            finally:
                if number == self._at and self._after:
                    self._die(label)

        return run

    def _next(self, label: str) -> int:
        with self._lock:
            self.labels.append(label)
            return len(self.labels)

    def _die(self, label: str) -> None:
        self._tell(f"{'after' if self._after else 'before'} {label}")
        os.kill(os.getpid(), signal.SIGKILL)


class Commits(Operations):
    """A counter of commits alone. After the chosen one the connection is closed, and the process gets an error: it
    cannot know that everything is written.
    """

    def count_calls(self, label: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        """Return the operation wrapped so that it is counted if it commits."""
        if label not in ("database execute", "database commit"):
            return operation

        def run(owner: Any, *arguments: Any, **named: Any) -> Any:
            link = owner if isinstance(owner, sqlite3.Connection | psycopg.Connection) else owner.connection
            was_open = _is_in_transaction(link)
            result = operation(owner, *arguments, **named)
            is_write = was_open or not _is_read(*arguments)
            if self._is_on and is_write and not _is_in_transaction(link) and self._next(label) == self._at:
                self._tell(f"after {label}")
                _break(link)
            return result

        return run


def _is_in_transaction(link: Any) -> bool:
    if isinstance(link, sqlite3.Connection):
        return link.in_transaction
    return bool(link.info.transaction_status != psycopg.pq.TransactionStatus.IDLE)


def _is_read(query: Any, *_: Any) -> bool:
    text = query if isinstance(query, bytes) else str(query).encode()
    return not text.lstrip().startswith((b"INSERT", b"UPDATE", b"DELETE", b"WITH"))


def _break(link: Any) -> NoReturn:
    """Close the connection, and raise what the driver raises when a server is gone."""
    if isinstance(link, sqlite3.Connection):
        # A file has no connection that could break: its error is that of a disk.
        raise sqlite3.OperationalError("disk I/O error")
    link.close()
    raise psycopg.OperationalError("server closed the connection unexpectedly")


def watch(operations: Operations) -> None:
    """Wrap every operation of this process in the counter, for the rest of its life."""
    _watch_sockets(operations)
    _watch_files(operations)
    _watch_sqlite(operations)
    _watch_postgresql(operations)


def _watch_sockets(operations: Operations) -> None:
    for name in ("connect", "sendall", "send", "recv", "recv_into", "shutdown"):
        _replace(operations, socket.socket, name, f"socket {name}")


def _watch_files(operations: Operations) -> None:
    for owner, names in ((os, ("open", "write", "fsync", "fdatasync")), (fcntl, ("flock", "lockf"))):
        for name in names:
            _replace(operations, owner, name, f"file {name}")
    _replace(operations, builtins, "open", "file open")
    _replace(operations, logging.StreamHandler, "emit", "log write")


def _watch_postgresql(operations: Operations) -> None:
    for name in ("execute", "executemany", "copy"):
        _replace(operations, psycopg.Cursor, name, f"database {name}")
    for name in ("commit", "rollback"):
        _replace(operations, psycopg.Connection, name, f"database {name}")
    _replace(operations, psycopg.Pipeline, "sync", "database sync")


def _replace(operations: Operations, owner: Any, name: str, label: str) -> None:
    setattr(owner, name, operations.count_calls(label, getattr(owner, name)))


def _watch_sqlite(operations: Operations) -> None:
    """Count the operations of sqlite3. Its types cannot be patched: connections and cursors are of a counted subclass."""

    class Cursor(sqlite3.Cursor):
        execute = operations.count_calls("database execute", sqlite3.Cursor.execute)
        executemany = operations.count_calls("database executemany", sqlite3.Cursor.executemany)

    class Connection(sqlite3.Connection):
        execute = operations.count_calls("database execute", sqlite3.Connection.execute)
        commit = operations.count_calls("database commit", sqlite3.Connection.commit)
        rollback = operations.count_calls("database rollback", sqlite3.Connection.rollback)

        def cursor(self, factory: type[sqlite3.Cursor] = sqlite3.Cursor) -> Any:
            mixed = Cursor if factory is sqlite3.Cursor else type(factory.__name__, (factory, Cursor), {})
            return super().cursor(mixed)

    connect = operations.count_calls("database connect", sqlite3.connect)

    def connect_counted(
        *arguments: Any, factory: type[sqlite3.Connection] = sqlite3.Connection, **named: Any
    ) -> Any:
        mixed = (
            Connection if factory is sqlite3.Connection else type(factory.__name__, (Connection, factory), {})
        )
        return connect(*arguments, factory=mixed, **named)

    sqlite3.connect = sqlite3.dbapi2.connect = connect_counted  # type: ignore[assignment]
