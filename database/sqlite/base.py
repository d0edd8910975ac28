"""The database backend `database.sqlite`: Django's own, with writers queued.

A transaction takes its place before BEGIN IMMEDIATE and leaves it after COMMIT or ROLLBACK; a single statement that
writes outside a transaction takes it for as long as it runs. Readers never wait.

A transaction runs on the one connection through which the process writes (see `shared_writer`); everything else runs
on a connection that one thread uses until it returns it (see `idle_connections`).
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from weakref import WeakSet

from django.db import OperationalError, ProgrammingError
from django.db.backends.sqlite3 import base
from django.db.backends.sqlite3.base import SQLiteCursorWrapper
from django.db.utils import DatabaseErrorWrapper
from django.utils.functional import cached_property

from database.move_refusal import refuse_write
from database.sqlite.idle_connections import IdleConnections, TrackedConnection
from database.sqlite.shared_writer import SharedWriter, shared_writer_for
from database.sqlite.writer_queue import WriterQueue

_WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE", "CREATE", "DROP", "ALTER")


def _create_private_file(path: str) -> None:
    """Create a database file that only its owner can open, unless it exists. SQLite gives its log the same permissions.

    O_EXCL: closing a descriptor of an existing file would drop the locks that SQLite holds on it in this process.
    """
    # A file that exists is left as it is; what else is wrong, SQLite reports.
    with suppress(OSError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


class QueuedCursor(SQLiteCursorWrapper):
    """A cursor that queues for the write lock before a single writing statement."""

    owner: "DatabaseWrapper | None" = None

    def execute(self, query: str, params: Any = None) -> Any:
        with self._queue_if_writing(query):
            return super().execute(query, params)

    def executemany(self, query: str, param_list: Any) -> Any:
        with self._queue_if_writing(query):
            return super().executemany(query, param_list)

    @contextmanager
    def _queue_if_writing(self, query: str) -> Iterator[None]:
        owner, begins = self.owner, query.lstrip()[:8].upper()
        if owner is not None and begins.startswith("PRAGMA") and "=" in query:
            owner.uses_own_transactions = True
        if owner is None or not begins.startswith(_WRITES):
            yield
            return
        # The cursor was opened on another connection: its write would bypass the open transaction.
        if self.connection is not owner.connection:
            raise ProgrammingError("this cursor does not belong to the open transaction")
        if owner.writers.is_held:
            yield
            return
        owner.writers.acquire()
        try:
            owner.require_files()
            yield
        finally:
            owner.writers.release()


class _ErrorWrapper(DatabaseErrorWrapper):
    """Raises Django's errors for those of the driver, and HubIsMoving for a write that a move has refused."""

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        if exc_type is None:
            return
        # A trigger cannot choose the kind of its error: for the driver it is a violated constraint.
        if exc_type is sqlite3.IntegrityError and (refusal := refuse_write(exc_value)) is not None:
            raise refusal from exc_value
        super().__exit__(exc_type, exc_value, traceback)


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's SQLite connection, which stays at the head of the writer queue for the length of a transaction.

    `uses_own_transactions`: a PRAGMA changed this connection, so its transactions do not run on the shared one.
    `keeps_connection`: set it while no other thread may get this connection, because it has temporary tables.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timeout = float(self.settings_dict.get("OPTIONS", {}).get("timeout", 5.0))
        self.writers = WriterQueue(lambda: str(self.settings_dict["NAME"]), self._timeout)
        self.uses_own_transactions = self.keeps_connection = False
        self._cursors: WeakSet[QueuedCursor] = WeakSet()
        # Set while `connection` is its shared one. The thread's own, if it could not be returned, waits meanwhile.
        self._writer: SharedWriter | None = None
        self._own_connection: sqlite3.Connection | None = None

    @cached_property
    def wrap_database_errors(self) -> _ErrorWrapper:
        return _ErrorWrapper(self)

    @property
    def _shared_writer(self) -> SharedWriter:
        return shared_writer_for(str(self.settings_dict["NAME"]))

    def require_files(self) -> None:
        """Raise OperationalError if this thread's connection would write to a deleted or replaced file."""
        try:
            self._shared_writer.require_files(self.connection)
        except OperationalError:
            # It is not used again.
            self.errors_occurred = True
            raise

    def connect(self) -> None:
        """Take an idle connection of this process, or open a new one."""
        # Otherwise Django has state of this thread to set, or to reset.
        raw_connection = self._shared_writer.idle_connections.acquire() if self.autocommit else None
        if raw_connection is None:
            super().connect()
        else:
            self.connection, self.uses_own_transactions = raw_connection, False

    def close_if_unusable_or_obsolete(self) -> None:
        """Return the connection for the next thread, unless it was changed or this thread depends on it."""
        if self.in_atomic_block or self.uses_own_transactions or not self.autocommit:
            super().close_if_unusable_or_obsolete()
        else:
            self._return_connection(self._shared_writer.idle_connections)

    def close(self) -> None:
        """Close this thread's connection, and those that no thread uses: then the file can be replaced."""
        super().close()
        while raw_connection := self._shared_writer.idle_connections.acquire():
            self._close_raw_connection(raw_connection)

    def _return_connection(self, idle_connections: IdleConnections) -> None:
        """Return the connection for the next thread; close it if it failed, keep it if this thread depends on it.

        An open cursor or transaction may hold an old snapshot, from which the next thread would read as well. A cursor
        on a deleted or replaced file does not count: an error that was raised there may refer to it for long.
        """
        raw_connection = self.connection
        if raw_connection is None or self.keeps_connection or raw_connection.in_transaction:
            return
        if self._cursors and raw_connection.generation == idle_connections.generation:
            return
        self.connection = None
        if self.errors_occurred or not idle_connections.release(raw_connection):
            self._close_raw_connection(raw_connection)
        self.errors_occurred = False

    def get_new_connection(self, conn_params: Any) -> TrackedConnection:
        self.uses_own_transactions = self.is_in_memory_db()
        raw_connection = self._shared_writer.idle_connections.acquire()
        if raw_connection is None:
            raw_connection = self._open_connection(conn_params)
            self._shared_writer.register_user(raw_connection)
        return raw_connection

    def _open_connection(self, conn_params: Any) -> TrackedConnection:
        if not self.is_in_memory_db():
            _create_private_file(str(conn_params["database"]))
        # Read before it opens: of a file that is replaced meanwhile, the connection counts as one of the old file.
        generation = self._shared_writer.read_generation()
        self._shared_writer.require_own_index()
        connection: TrackedConnection = super().get_new_connection(
            # The driver begins no transactions itself: one that `_stop_writing` opens is in autocommit mode, too.
            conn_params | {"factory": TrackedConnection, "isolation_level": None}
        )
        connection.generation = generation
        return connection

    def _set_autocommit(self, autocommit: bool) -> None:
        # The driver commits when it is set again, and would end a snapshot that this thread reads.
        if not autocommit or self.connection.isolation_level is not None:
            super()._set_autocommit(autocommit)  # type: ignore[misc]

    def create_cursor(self, name: str | None = None) -> QueuedCursor:
        cursor: QueuedCursor = self.connection.cursor(factory=QueuedCursor)
        cursor.owner = self
        self._cursors.add(cursor)
        return cursor

    def _start_transaction_under_autocommit(self) -> None:
        """Begin a transaction through the driver. Django's cursor around it costs four times as much.

        The thread's own connection serves others meanwhile: a thread that waits for its turn to write needs none.
        """
        writer = self._shared_writer
        try:
            if not self.uses_own_transactions:
                writer.register_user(self)
                self._return_connection(writer.idle_connections)
            self.writers.acquire()
            with self.wrap_database_errors:
                self._begin_transaction(writer, f"BEGIN {self.transaction_mode or ''}")  # type: ignore[attr-defined]
        except BaseException:
            self._leave_queue()
            writer.unregister_user(self)
            raise

    def _begin_transaction(self, writer: SharedWriter, statement: str) -> None:
        if self.uses_own_transactions:
            self.connection.execute(statement)
            return
        raw_connection = writer.begin_transaction(
            lambda: self._open_connection(self.get_connection_params()), statement
        )
        self._own_connection, self.connection, self._writer = self.connection, raw_connection, writer

    def _commit(self) -> None:
        writer, number = self._writer, None
        try:
            with self.wrap_database_errors:
                if writer is not None:
                    # Not on disk yet: the wait follows after the queue, so that it does not delay the next writer.
                    number = writer.commit_transaction()
                else:
                    self.connection.commit()
        finally:
            has_ended = self._leave_queue_unless_in_transaction()
        try:
            if writer is not None and number is not None:
                writer.wait_for_disk(number, self._timeout)
        finally:
            if has_ended:
                self._stop_writing(writer or self._shared_writer)

    def _rollback(self) -> None:
        writer = self._writer or self._shared_writer
        try:
            super()._rollback()  # type: ignore[misc]
        finally:
            if self._leave_queue_unless_in_transaction():
                self._stop_writing(writer)

    def _close(self) -> None:
        try:
            # The shared connection may be inside a half-done transaction: closing it rolls that back.
            if self._writer is not None:
                self._writer.close_connection()
        finally:
            self._leave_queue()
            self._shared_writer.unregister_user(self)
        if self.connection is not None:
            self._close_raw_connection(self.connection)

    def _stop_writing(self, writer: SharedWriter) -> None:
        """Return to a connection of this thread, which has left the queue. Django needs one to run hooks."""
        writer.unregister_user(self)
        if self.connection is None:
            self.connection = writer.idle_connections.acquire()
        if self.connection is None:
            with self.wrap_database_errors:
                self.connection = self.get_new_connection(self.get_connection_params())

    def _close_raw_connection(self, raw_connection: sqlite3.Connection) -> None:
        self._shared_writer.unregister_user(raw_connection)
        with self.wrap_database_errors:
            raw_connection.close()

    def _leave_queue_unless_in_transaction(self) -> bool:
        """Leave the writer queue if the transaction has ended. Returns True if it has.

        A COMMIT that failed (disk full) may leave it open; the rollback that follows then leaves the queue.
        """
        has_ended = self.connection is None or not self.connection.in_transaction
        if has_ended:
            self._leave_queue()
        return has_ended

    def _leave_queue(self) -> None:
        if self._writer is not None:
            self.connection, self._own_connection, self._writer = self._own_connection, None, None
        self.writers.release()
