"""Idle connections, which threads have returned: open for the next thread that reads.

A connection keeps the schema in memory, 0.4 MB for the hub's, and the statements that it has prepared. Sixty threads
of a process share the few connections that are in use at the same time.
"""

import sqlite3

# More are in use at the same time only for moments.
MAX_IDLE = 4


class TrackedConnection(sqlite3.Connection):
    """A connection of the driver to which a weak reference can be held. `generation`: see `IdleConnections`."""

    generation = 0


class IdleConnections:
    """The open connections of this process to a database file that no thread uses; the last used one is taken first.

    `SharedWriter.idle_connections` has those of its file. `generation`: how often another file was put in the place of
    that file. A connection of an earlier generation reads the file that was there before.
    """

    def __init__(self) -> None:
        # Appending to a list, and popping from it, are atomic.
        self._links: list[TrackedConnection] = []
        self.generation = 0

    def acquire(self) -> TrackedConnection | None:
        """Return an idle connection for the caller's use; None if there is none."""
        try:
            return self._links.pop()
        except IndexError:
            return None

    def release(self, raw_connection: TrackedConnection) -> bool:
        """Keep a connection open for the next caller of `acquire`. Returns False if enough are idle, or if it reads
        another file: the caller closes it.
        """
        if len(self._links) >= MAX_IDLE or raw_connection.generation != self.generation:
            return False
        self._links.append(raw_connection)
        return True
