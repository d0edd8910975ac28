"""Counts that a process stores in memory and writes once a second, so that a flood of events does not cause a write for
each. A process that is killed loses the counts of its last second.
"""

import atexit
import logging
import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from django.db import DatabaseError, connections

FLUSH_SECONDS = 1.0

Key = TypeVar("Key", bound=Hashable)
Count = TypeVar("Count")

logger = logging.getLogger("hub.counts")


class DeferredCounts(Generic[Key, Count]):
    """Counts by key. Thread-safe.

    `write` adds the count of one key to the database. `merge` returns the sum of an earlier and a later count.
    `subject` is what is counted, in the plural, for the log.
    """

    def __init__(
        self, write: Callable[[Key, Count], None], merge: Callable[[Count, Count], Count], subject: str
    ) -> None:
        self._write, self._merge, self._subject = write, merge, subject
        self._lock = threading.Lock()
        # Held while counts are written.
        self._flush_lock = threading.Lock()
        self._pending: dict[Key, Count] = {}
        self._timer: threading.Timer | None = None
        atexit.register(self.flush)

    def __len__(self) -> int:
        return len(self._pending)

    def __contains__(self, key: object) -> bool:
        return key in self._pending

    def add(self, key: Key, count: Count) -> None:
        """Add to the count of a key. It is written within a second."""
        with self._lock:
            before = self._pending.get(key)
            self._pending[key] = count if before is None else self._merge(before, count)
            self._schedule_flush()

    def flush(self) -> None:
        """Write all counts; wait for another thread that writes some. Those that cannot be written wait for the next
        flush.
        """
        # At the end of a process the timer's thread is not waited for, so its counts would be lost.
        with self._flush_lock:
            self._write_pending()

    def _write_pending(self) -> None:
        with self._lock:
            self._cancel_timer()
            # Copied under the lock and written after it: no thread that counts meanwhile waits for the database.
            due = dict(self._pending)
            self._pending.clear()
        try:
            while due:
                key, count = due.popitem()
                try:
                    self._write(key, count)
                except BaseException:
                    due[key] = count
                    raise
        except DatabaseError as error:
            text = "%s counts of %s are not written yet (%s)"
            logger.warning(text, len(due), self._subject, type(error).__name__)
        finally:
            self._add_back(due)

    def reset(self) -> None:
        """Drop all counts, for a test whose database is another one."""
        with self._lock:
            self._cancel_timer()
            self._pending.clear()

    def wait_until_flushed(self, seconds: float) -> None:
        """Wait for the flush that is scheduled, if there is one."""
        if (timer := self._timer) is not None:
            timer.join(seconds)

    def _add_back(self, unwritten: dict[Key, Count]) -> None:
        with self._lock:
            for key, count in unwritten.items():
                later = self._pending.get(key)
                self._pending[key] = count if later is None else self._merge(count, later)
            if unwritten:
                self._schedule_flush()

    def _schedule_flush(self) -> None:
        if self._timer is None:
            self._timer = threading.Timer(FLUSH_SECONDS, self._flush_in_thread)
            # The timer must not delay the end of the process; `atexit` writes what it would have written.
            self._timer.daemon = True
            self._timer.start()

    def _cancel_timer(self) -> None:
        """Cancel the scheduled flush. A flush that has begun continues."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _flush_in_thread(self) -> None:
        try:
            self.flush()
        finally:
            connections.close_all()
