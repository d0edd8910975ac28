"""The transactions of a process share one connection, and reach the disk together.

A connection forgets the pages that it has read as soon as another one commits. With a connection for each of thirty
threads nearly every statement read its pages again; the one that all of them write through keeps them. Transactions
follow one another on it as the line of writers lets them (see `writer_queue`), each with a BEGIN and a COMMIT of its
own: none shares the fate of another, unless several threads put their work into one (`database.group_commit`).

A COMMIT writes to the write-ahead log without waiting for the disk (`synchronous=NORMAL`). Whoever committed then waits
until the log is on disk, and no longer holds up the next writer meanwhile; one sync serves all who committed before it
began. `atomic` ends after that, so what it promises is what `synchronous=FULL` promises. Others may see a change before
it is on disk, and whatever they write because of it follows it in the same log.

A file that was deleted or replaced still accepts writes, but they are lost. Each transaction therefore checks first
that the database, its log and the index of the log (`-shm`) are the files that the connection has open. All connections
of a process share one index: as long as one of them is open, a new one would read the next log by the index of the
deleted one.
"""

import logging
import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from operator import eq
from typing import Any
from weakref import WeakSet

from django.db import OperationalError

from database.sqlite.idle_connections import IdleConnections, TrackedConnection

logger = logging.getLogger("hub.database")

_FULL, _NORMAL = 2, 1

# The device and the number of a file; None if there is none.
_FileId = tuple[int, int] | None
# The database, its log, and the index of its log.
_Files = tuple[_FileId, _FileId, _FileId]


class SharedWriter:
    """The connection through which this process writes to a database file. It stays open while a user is registered.

    Only the thread whose turn it is in the writer queue calls `begin_transaction` and `commit_transaction`.
    `idle_connections`: the other connections to this file that are open, and that no thread uses.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.idle_connections = IdleConnections()
        self._link: sqlite3.Connection | None = None
        self._log: int | None = None
        # The database of the current generation.
        self._database: _FileId = None
        # As the shared connection has them open.
        self._opened: _Files = (None, None, None)
        # Another index is in its place, or none, and connections of this process may still use the deleted one.
        self._is_index_deleted = False
        self._waits_for_disk = True
        self._last_committed = self._last_synced = 0
        self._log_may_have_gap = False
        self._sync_lock = threading.Lock()
        self._users_lock = threading.Lock()
        self._users: WeakSet[Any] = WeakSet()

    def register_user(self, user: object) -> None:
        """Register a user: an open connection to this file, or a thread that writes through the shared connection.

        While one is registered, this connection stays open unless a transaction fails.
        """
        with self._users_lock:
            if not self._users:
                self._close_log()
            self._users.add(user)

    def unregister_user(self, user: object) -> None:
        """Unregister a connection that is about to close, or a thread that has written."""
        with self._users_lock:
            self._users.discard(user)
            if not self._users:
                self.close_connection()
                self._close_log()

    def read_generation(self) -> int:
        """Return the generation of a connection that is about to open. Another one begins if the database was deleted
        or replaced since the last call.
        """
        database = _identify(self._path)
        with self._users_lock:
            before, self._database = self._database, database
            is_another = before not in (None, database)
            self.idle_connections.generation += is_another
            generation = self.idle_connections.generation
        if is_another:
            self._close_idle_connections()
        return generation

    def require_own_index(self) -> None:
        """Raise OperationalError if a new connection would use the deleted index of other connections.

        They close when their threads give them back.
        """
        if not self._is_index_deleted:
            return
        generation = self.idle_connections.generation
        with self._users_lock:
            links = [user for user in self._users if isinstance(user, TrackedConnection)]
        if any(link.generation != generation for link in links):
            raise OperationalError("the index of the write-ahead log was deleted while it is in use")
        self._is_index_deleted = False

    def begin_transaction(
        self, connect: Callable[[], sqlite3.Connection], statement: str
    ) -> sqlite3.Connection:
        """Begin a transaction and return its connection. If that fails, the next call opens a new connection.

        Opens a new one, too, if the database or its log was deleted or replaced.
        """
        self._leave_replaced_files()
        raw_connection = self._link or self._prepare_connection(connect)
        try:
            if self._log_may_have_gap:
                self._move_log_into_file(raw_connection)
            raw_connection.execute(statement)
            if self._opened[1] is None:
                # SQLite opens the log and its index with the first transaction.
                self._opened = self._opened[0], *self._identify_files()[1:]
        except BaseException:
            self.close_connection()
            raise
        return raw_connection

    def require_files(self, raw_connection: TrackedConnection) -> None:
        """Raise OperationalError if a connection outside a transaction would write to a deleted or replaced file.

        Only the thread whose turn it is calls this. The next connection opens the files that are there.
        """
        self._leave_replaced_files()
        if raw_connection.generation != self.idle_connections.generation:
            raise OperationalError("the database or its log was deleted or replaced")

    def commit_transaction(self) -> int:
        """Commit, and return the number to pass to `wait_for_disk`."""
        assert self._link is not None, "begin() opened it"
        self._link.commit()
        self._last_committed += 1
        return self._last_committed

    def wait_for_disk(self, number: int, timeout: float) -> None:
        """Wait until the commit of this number is on disk. Raises OperationalError if that failed or took over
        `timeout` seconds.

        The commit may be on disk nevertheless, and other connections see it: as after a COMMIT whose answer was lost.
        """
        if not self._waits_for_disk:
            return
        if not self._sync_lock.acquire(timeout=timeout):
            raise OperationalError("disk I/O error: the log did not reach the disk in time")
        try:
            # Another thread's sync may have covered this commit while this thread waited for the lock.
            if number > self._last_synced:
                self._sync_log()
        finally:
            self._sync_lock.release()

    def close_connection(self) -> None:
        """Close the connection, which rolls back an open transaction."""
        raw_connection, self._link = self._link, None
        if raw_connection is not None:
            raw_connection.close()

    def _close_log(self) -> None:
        log, self._log = self._log, None
        if log is not None:
            os.close(log)

    def _identify_files(self) -> _Files:
        return _identify(self._path), _identify(f"{self._path}-wal"), _identify(f"{self._path}-shm")

    def _leave_replaced_files(self) -> None:
        """Close all connections that no thread uses if the database, its log or the index was deleted or replaced.

        Raises OperationalError if the database was not, and the log is still read: closing would lose what only the
        log has.
        """
        raw_connection = self._link
        if raw_connection is None:
            self.read_generation()
            return
        database, log, index = self._identify_files()
        if (database, log, index) == self._opened:
            return
        is_same_database, is_same_log, is_same_index = map(eq, (database, log, index), self._opened)
        # This connection still reads the deleted log. Its numbers of pages are those of the next log once that has any.
        # If the log is there and another index too, another process has read the log and may have written to it since.
        is_known = index is None if is_same_log else _is_empty(f"{self._path}-wal")
        if is_same_database and is_known:
            # Where it fails, nothing can be saved.
            with suppress(sqlite3.Error):
                is_busy, *_ = raw_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                if is_busy:
                    raise OperationalError("database is locked: the log was deleted, and is still read")
        self.close_connection()
        if not is_same_database:
            self.read_generation()
            return
        self._is_index_deleted = self._is_index_deleted or not is_same_index
        with self._users_lock:
            self.idle_connections.generation += 1
        self._close_idle_connections()

    def _close_idle_connections(self) -> None:
        """Close the connections of earlier generations that no thread uses. Others close when they are returned."""
        logger.error(
            "%s, its log or the index of the log was deleted or replaced while it was in use", self._path
        )
        while idle := self.idle_connections.acquire():
            with self._users_lock:
                self._users.discard(idle)
            idle.close()

    def _prepare_connection(self, connect: Callable[[], sqlite3.Connection]) -> sqlite3.Connection:
        """Open the shared connection, and take over waiting for the disk from SQLite.

        Without a write-ahead log SQLite itself waits; with settings below FULL nothing does.
        """
        # Before it opens: if the file is replaced meanwhile, the next transaction notices.
        opened = _identify(self._path)
        raw_connection = connect()
        # The connection has created the file that was not there.
        self._opened = opened or _identify(self._path), None, None
        [synchronous], [mode] = (
            raw_connection.execute(f"PRAGMA {name}").fetchone() for name in _SYNC_PRAGMAS
        )
        self._waits_for_disk = synchronous >= _FULL and mode == "wal"
        if self._waits_for_disk:
            # `wait_for_disk` takes over the sync, outside the writer queue.
            raw_connection.execute(f"PRAGMA synchronous={_NORMAL}")
        # The driver must not begin transactions itself.
        raw_connection.isolation_level = None
        self._link = raw_connection
        return raw_connection

    def _sync_log(self) -> None:
        """Write the log to disk.

        Keeps the log's file open: the operating system reports a write error only to descriptors that were open at that
        time.
        """
        if self._log_may_have_gap:
            raise OperationalError("disk I/O error: the log did not reach the disk")
        # Read before the sync: a commit that arrives during it is not covered.
        reached = self._last_committed
        try:
            if self._log is None or self._close_deleted_log():
                self._log = os.open(f"{self._path}-wal", os.O_RDONLY | os.O_CLOEXEC)
            os.fdatasync(self._log)
        except OSError as error:
            self._log_may_have_gap = True
            raise OperationalError("disk I/O error: the log did not reach the disk") from error
        self._last_synced = reached

    def _close_deleted_log(self) -> bool:
        """Close the log and return True if it was deleted or moved, and another one exists.

        The last connection to close deletes it, though users may be left: one may have no connection of its own, or one
        that has read nothing yet. What it contained is in the database file then, which SQLite syncs.
        """
        assert self._log is not None, "it was opened before"
        if _identify(f"{self._path}-wal") in (None, _identify(self._log)):
            return False
        self._close_log()
        return True

    def _move_log_into_file(self, raw_connection: sqlite3.Connection) -> None:
        """Copy the log into the database file and begin a new log, after a sync that failed.

        The log may have a gap that a later sync does not report. What follows the gap is on disk only once everything
        is in the database file, which SQLite syncs.
        """
        is_busy, *_ = raw_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if is_busy:
            raise OperationalError("database is locked: the log is still read, and may have a gap")
        self._last_synced, self._log_may_have_gap = self._last_committed, False


def _identify(file: str | int) -> _FileId:
    """Return the device and inode number of a file or descriptor; None if the file does not exist."""
    try:
        status = os.stat(file)  # noqa: PTH116 - a Path takes four times as long
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _is_empty(path: str) -> bool:
    """True if a file contains nothing, or does not exist."""
    try:
        return not os.stat(path).st_size  # noqa: PTH116
    except OSError:
        return True


_SYNC_PRAGMAS = ("synchronous", "journal_mode")

_writers: dict[tuple[int, str], SharedWriter] = {}
_writers_lock = threading.Lock()


def shared_writer_for(path: str) -> SharedWriter:
    """Return this process's writer for a file. A forked child gets its own and never touches that of its parent."""
    key = (os.getpid(), path)
    writer = _writers.get(key)
    if writer is None:
        with _writers_lock:
            writer = _writers.setdefault(key, SharedWriter(path))
    return writer
