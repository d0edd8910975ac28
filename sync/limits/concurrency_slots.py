"""How many deliveries of one connection run at once, over all processes.

Each takes a slot with a number, and the database allows one delivery a slot: no counting that could race, and what a
dead process held is freed with its lease. A connection without a limit, whose breaker is closed, needs no slot.
"""

import random

from database.statement import Statement
from sync.limits.circuit_breaker import passing
from sync.limits.rate_limit import is_crowded
from sync.models import Connection, Side

_TAKEN = {
    Side.IDENTITY: Statement(
        "SELECT identity_slot FROM sync_delivery WHERE identity_id = %s AND identity_slot IS NOT NULL"
    ),
    Side.COMMERCIAL: Statement(
        "SELECT commercial_slot FROM sync_delivery WHERE commercial_id = %s AND commercial_slot IS NOT NULL"
    ),
}


class Full(Exception):
    """As many as may run at once do, or wait for their turn; whoever ends wakes the next, and the sweep looks again."""


class Paused(Exception):
    """The connection's breaker is open."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(f"{connection} is paused")
        self.connection = connection


def free_slot(connection: Connection) -> int | None:
    """A slot that looks free, None where none is needed. `Full` or `Paused` where nothing passes.

    Another process may take the same one: the claim then fails with an IntegrityError, and is tried again.
    """
    limit = _limit(connection)
    if is_crowded(connection):
        raise Full
    if limit is None:
        return None
    taken = {row[0] for row in _TAKEN[Side(connection.side)].fetch_all(connection.pk)}
    free = [number for number in range(1, limit + 1) if number not in taken]
    if not free:
        raise Full
    return random.choice(free)  # noqa: S311


def _limit(connection: Connection) -> int | None:
    passes = passing(connection)
    if passes == 0:
        raise Paused(connection)
    limits = [each for each in (connection.concurrency, passes) if each is not None]
    return min(limits, default=None)
