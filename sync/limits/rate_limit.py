"""How fast a remote system is spoken to, over all processes: `Connection.requests_per_second`."""

import time

from database.connection import release_connection
from database.statement import Statement
from sync.models import Connection
from webhooks.models.rate_limit import LONGEST_WAIT, Rate, TooSoon, take_turn

_BURST_SECONDS = 0.2


_QUEUE_IS_FULL = Statement('SELECT 1 FROM webhooks_pace WHERE "key" = %s AND free_at > {clock}')


class RateLimited(Exception):
    """A request would come too soon after the others, and nothing was sent. `seconds`: until its turn could come."""

    def __init__(self, connection: Connection, seconds: float) -> None:
        super().__init__(f"its turn comes in {seconds:.1f} s")
        self.connection = connection
        self.seconds = seconds


def wait_for_turn(connection: Connection, still_seconds: float) -> None:
    """Before an outgoing request: wait until it is its turn, at most five seconds and at most `still_seconds`.

    `RateLimited` where that is not enough; then no place in the line is kept. A fifth of a second's worth of
    requests may go at once. Without a limit it costs nothing.
    """
    limit = connection.requests_per_second
    if limit is None:
        return
    rate = Rate(limit, max(1, int(limit * _BURST_SECONDS)))
    try:
        wait = take_turn(f"connection:{connection.pk}", rate, max(0.0, still_seconds))
    except TooSoon as refusal:
        raise RateLimited(connection, refusal.seconds) from refusal
    if wait:
        release_connection()
        time.sleep(wait)


def is_queue_full(connection: Connection) -> bool:
    """Whether so many requests wait for their turn already that one more would not come within the wait.

    Asked before a claim: then no attempt is begun that could only give up. Without a limit it costs nothing.
    """
    if connection.requests_per_second is None:
        return False
    return bool(_QUEUE_IS_FULL.fetch_all(f"connection:{connection.pk}", LONGEST_WAIT))
