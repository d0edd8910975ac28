"""Limit how many deliveries of one connection run at the same time, over all processes.

Each takes a numbered slot, and the database allows one delivery a slot: no counting that could race, and the slot of a
dead process is freed with its lease. A connection without a limit, whose breaker is closed, needs no slot.
"""

import random

from database.statement import Statement
from sync.limits.circuit_breaker import allowed_deliveries
from sync.limits.rate_limit import is_queue_full
from sync.models import Connection, ConnectionSide

_TAKEN_SLOTS = {
    ConnectionSide.IDENTITY: Statement(
        "SELECT identity_slot FROM sync_delivery WHERE identity_id = %s AND identity_slot IS NOT NULL"
    ),
    ConnectionSide.TARGET: Statement(
        "SELECT target_slot FROM sync_delivery WHERE target_id = %s AND target_slot IS NOT NULL"
    ),
}


class NoFreeSlot(Exception):
    """All slots are taken, or the rate limit's queue is full. A delivery that ends wakes the next one."""


class ConnectionPaused(Exception):
    """The connection's circuit breaker is open."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(f"{connection} is paused")
        self.connection = connection


def choose_free_slot(connection: Connection) -> int | None:
    """Return a slot that looks free, None if none is needed. Raises NoFreeSlot or ConnectionPaused.

    Another process may take the same slot: then the claim gets an IntegrityError, and is tried again.
    """
    limit = _slot_limit(connection)
    if connection.requests_per_second is not None and is_queue_full(connection):
        raise NoFreeSlot
    if limit is None:
        return None
    used_slots = {row[0] for row in _TAKEN_SLOTS[ConnectionSide(connection.side)].fetch_all(connection.pk)}
    free = [number for number in range(1, limit + 1) if number not in used_slots]
    if not free:
        raise NoFreeSlot
    # At random, so that processes that choose at the same moment seldom take the same slot.
    return random.choice(free)  # noqa: S311


def _slot_limit(connection: Connection) -> int | None:
    allowed = allowed_deliveries(connection)
    if allowed == 0:
        raise ConnectionPaused(connection)
    limits = [limit for limit in (connection.concurrency, allowed) if limit is not None]
    return min(limits, default=None)
