"""The database backend `database.sqlite`: Django's own, with writers queued.

A transaction takes its place before BEGIN IMMEDIATE and leaves it after COMMIT or ROLLBACK; a single statement that
writes outside a transaction takes it for as long as it runs. Readers never wait.

A transaction runs on the one connection through which the process writes (see `shared_writer`); everything else runs
on the thread's own.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django.db import ProgrammingError
from django.db.backends.sqlite3 import base
from django.db.backends.sqlite3.base import SQLiteCursorWrapper

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
        with self._hold_place_if_writing(query):
            return super().execute(query, params)

    def executemany(self, query: str, param_list: Any) -> Any:
        with self._hold_place_if_writing(query):
            return super().executemany(query, param_list)

    @contextmanager
    def _hold_place_if_writing(self, query: str) -> Iterator[None]:
        owner, begins = self.owner, query.lstrip()[:8].upper()
        if owner is not None and begins.startswith("PRAGMA") and "=" in query:
            owner.uses_own_transactions = True
        if owner is None or not begins.startswith(_WRITES):
            yield
            return
        # The cursor was opened on another connection: its write would bypass the open transaction.
        if self.connection is not owner.connection:
            raise ProgrammingError("this cursor is not of the transaction, or of one that has ended")
        if owner.writers.is_held:
            yield
            return
        owner.writers.acquire()
        try:
            yield
        finally:
            owner.writers.release()


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's SQLite connection, which holds its place in the writer queue for the length of a transaction.

    `uses_own_transactions`: a PRAGMA changed this connection, so its transactions do not run on the shared one.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timeout = float(self.settings_dict.get("OPTIONS", {}).get("timeout", 5.0))
        self.writers = WriterQueue(lambda: str(self.settings_dict["NAME"]), self._timeout)
        self.uses_own_transactions = False
        # This thread's own connection, while the shared one is in its place.
        self._own_connection: sqlite3.Connection | None = None

    @property
    def _shared_writer(self) -> SharedWriter:
        return shared_writer_for(str(self.settings_dict["NAME"]))

    def get_new_connection(self, conn_params: Any) -> sqlite3.Connection:
        link = self._open_connection(conn_params)
        self.uses_own_transactions = self.is_in_memory_db()
        self._shared_writer.register_user(self)
        return link

    def _open_connection(self, conn_params: Any) -> sqlite3.Connection:
        if not self.is_in_memory_db():
            _create_private_file(str(conn_params["database"]))
        connection: sqlite3.Connection = super().get_new_connection(conn_params)
        return connection

    def create_cursor(self, name: str | None = None) -> QueuedCursor:
        cursor: QueuedCursor = self.connection.cursor(factory=QueuedCursor)
        cursor.owner = self
        return cursor

    def _start_transaction_under_autocommit(self) -> None:
        """Begin a transaction through the driver. Django's cursor around it costs four times as much."""
        self.writers.acquire()
        try:
            with self.wrap_database_errors:
                self._begin_transaction(f"BEGIN {self.transaction_mode or ''}")  # type: ignore[attr-defined]
        except BaseException:
            self.writers.release()
            raise

    def _begin_transaction(self, statement: str) -> None:
        if self.uses_own_transactions:
            self.connection.execute(statement)
            return
        link = self._shared_writer.begin_transaction(
            lambda: self._open_connection(self.get_connection_params()), statement
        )
        self._own_connection, self.connection = self.connection, link

    def _commit(self) -> None:
        number = None
        try:
            with self.wrap_database_errors:
                if self._own_connection is None:
                    self.connection.commit()
                else:
                    # Not on disk yet: the wait follows after the queue, so that it does not delay the next writer.
                    number = self._shared_writer.commit_transaction()
        finally:
            self._leave_queue_unless_in_transaction()
        if number is not None:
            self._shared_writer.wait_for_disk(number, self._timeout)

    def _rollback(self) -> None:
        try:
            super()._rollback()  # type: ignore[misc]
        finally:
            self._leave_queue_unless_in_transaction()

    def _close(self) -> None:
        try:
            # The shared connection may be inside a half-done transaction: closing it rolls that back.
            if self._own_connection is not None:
                self._shared_writer.close_connection()
        finally:
            self._leave_queue()
        self._shared_writer.unregister_user(self)
        super()._close()  # type: ignore[misc]

    def _leave_queue_unless_in_transaction(self) -> None:
        """Leave the writer queue if the transaction has ended.

        A COMMIT that failed (disk full) may leave it open; the rollback that follows then leaves the queue.
        """
        if self.connection is None or not self.connection.in_transaction:
            self._leave_queue()

    def _leave_queue(self) -> None:
        if self._own_connection is not None:
            self.connection, self._own_connection = self._own_connection, None
        self.writers.release()
