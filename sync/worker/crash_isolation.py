"""Deliveries under which processes died twice: each runs alone, in a process that does nothing else.

Which of those that ran when a process died is to blame cannot be seen from outside; a death alone tells (see
`sync.deliveries.expired_leases`), and it takes nobody else along.
"""

import logging
import subprocess
from collections.abc import Callable

from django.conf import settings

from database.connection import release_connection
from sync.deliveries.due_deliveries import find_suspects

START_SECONDS = 30.0  # what a process may need on a busy machine before it claims anything

logger = logging.getLogger("hub.worker")


def run_suspects(should_continue: Callable[[], bool], limit: int = 100) -> int:
    """Run the suspects that are due, one after the other; `should_continue` is asked before each. Returns how many survived."""
    waiting = find_suspects(limit)
    release_connection()
    return sum(_run_in_own_process(each) for each in waiting if should_continue())


def _run_in_own_process(delivery_id: int) -> bool:
    """Whether its process ended by itself; one that hangs is killed once its lease has ended."""
    command = [*settings.COMMAND_LINE, "deliver_alone", str(delivery_id)]
    # A process killed within its lease would be blamed for a slow start: the lease begins only at the claim.
    seconds = START_SECONDS + settings.LEASE_SECONDS
    try:
        ended = subprocess.run(command, timeout=seconds, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        logger.error("delivery %s hung alone in its process, which was killed", delivery_id)
        return False
    if ended.returncode:
        logger.error("the process of delivery %s ended with %s", delivery_id, ended.returncode)
    return not ended.returncode
