"""Limit the rate of requests to a remote system, over all processes: `Connection.requests_per_second`."""

import time

from database.connection import release_connection
from database.statement import Statement
from sync.models import Connection
from webhooks.models.rate_limit import MAX_WAIT, RateLimit, RateLimitExceeded, reserve_turn

_BURST_SECONDS = 0.2


_QUEUE_IS_FULL = Statement('SELECT 1 FROM webhooks_ratelimitstate WHERE "key" = %s AND free_at > {clock}')


class RateLimited(Exception):
    """A request would come too soon after the others, and was not sent. `seconds`: until it could be."""

    def __init__(self, connection: Connection, seconds: float) -> None:
        super().__init__(f"rate limit reached; next request in {seconds:.1f} s")
        self.connection = connection
        self.seconds = seconds


def wait_for_turn(connection: Connection, limit: float, max_seconds: float) -> None:
    """Wait for the turn of an outgoing request, at most five seconds and at most `max_seconds`.

    `limit`: the requests per second of a connection that has a limit. Raises RateLimited if the wait is not enough; the
    request then keeps no place in the queue. Requests worth a fifth of a second may go at once.
    """
    # At least one, or a slow limit would allow no request at all.
    rate = RateLimit(limit, max(1, int(limit * _BURST_SECONDS)))
    try:
        wait = reserve_turn(f"connection:{connection.pk}", rate, max(0.0, max_seconds))
    except RateLimitExceeded as refusal:
        raise RateLimited(connection, refusal.seconds) from refusal
    if wait:
        # A thread that waits holds no connection of the pool.
        release_connection()
        time.sleep(wait)


def is_queue_full(connection: Connection) -> bool:
    """True if the requests that wait for a connection's rate limit use up the longest wait, so that one more would
    fail.

    Checked before a claim, so that no attempt begins that would have to give up.
    """
    return bool(_QUEUE_IS_FULL.fetch_all(f"connection:{connection.pk}", MAX_WAIT))
