"""The database backend `integration_hub.sqlite`: Django's own, with writers queued.

A transaction takes its place before BEGIN IMMEDIATE and leaves it after COMMIT or ROLLBACK; a single statement that
writes outside a transaction takes it for as long as it runs. Readers never wait.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db.backends.sqlite3 import base
from django.db.backends.sqlite3.base import SQLiteCursorWrapper

from integration_hub.sqlite.queue import WriterQueue

_WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE", "CREATE", "DROP", "ALTER")


class QueuedCursor(SQLiteCursorWrapper):
    """A cursor whose single writing statements wait in line."""

    owner: "DatabaseWrapper | None" = None

    def execute(self, query: str, params: Any = None) -> Any:
        with self._turn(query):
            return super().execute(query, params)

    def executemany(self, query: str, param_list: Any) -> Any:
        with self._turn(query):
            return super().executemany(query, param_list)

    @contextmanager
    def _turn(self, query: str) -> Iterator[None]:
        owner = self.owner
        if owner is None or owner.writers.is_held or not query.lstrip()[:8].upper().startswith(_WRITES):
            yield
            return
        owner.writers.acquire()
        try:
            yield
        finally:
            owner.writers.release()


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's SQLite connection that holds its place in the line for the length of a transaction."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        timeout = float(self.settings_dict.get("OPTIONS", {}).get("timeout", 5.0))
        self.writers = WriterQueue(lambda: str(self.settings_dict["NAME"]), timeout)

    def create_cursor(self, name: str | None = None) -> QueuedCursor:
        cursor: QueuedCursor = self.connection.cursor(factory=QueuedCursor)
        cursor.owner = self
        return cursor

    def _start_transaction_under_autocommit(self) -> None:
        """BEGIN by the driver itself: Django's cursor around it costs four times as much."""
        self.writers.acquire()
        try:
            with self.wrap_database_errors:
                mode = self.transaction_mode or ""  # type: ignore[attr-defined]
                self.connection.execute(f"BEGIN {mode}")
        except BaseException:
            self.writers.release()
            raise

    def _commit(self) -> None:
        try:
            with self.wrap_database_errors:
                self.connection.commit()
        finally:
            self._leave_unless_in_transaction()

    def _rollback(self) -> None:
        try:
            super()._rollback()  # type: ignore[misc]
        finally:
            self._leave_unless_in_transaction()

    def _close(self) -> None:
        try:
            super()._close()  # type: ignore[misc]
        finally:
            self.writers.release()

    def _leave_unless_in_transaction(self) -> None:
        """A COMMIT that failed (disk full) may leave the transaction open; the rollback that follows gives way."""
        if self.connection is None or not self.connection.in_transaction:
            self.writers.release()
