"""Connections that threads have given back, open for the next thread that reads.

A connection keeps the schema in memory, 0.4 MB for the hub's, and the statements that it has prepared. Sixty threads
of a process share the few connections that are in use at the same time.
"""

import sqlite3

# More are in use at the same time only for moments.
MOST_IDLE = 4


class TrackedConnection(sqlite3.Connection):
    """A connection of the driver to which a weak reference can be held."""


class IdleConnections:
    """The open connections of this process to a database file that no thread uses; the last used one is taken first.

    `SharedWriter.idle_connections` has those of its file.
    """

    def __init__(self) -> None:
        # Appending to a list, and popping from it, are atomic.
        self._links: list[sqlite3.Connection] = []

    def take(self) -> sqlite3.Connection | None:
        """Return a connection that from now on is the caller's; None if all are in use."""
        try:
            return self._links.pop()
        except IndexError:
            return None

    def keep(self, link: sqlite3.Connection) -> bool:
        """Keep a connection open for the next caller of `take`. Returns False if enough are: the caller closes it."""
        if len(self._links) >= MOST_IDLE:
            return False
        self._links.append(link)
        return True
