"""Isolate possible poison deliveries: a delivery during which two processes died runs in a process of its own.

From outside it cannot be seen which of several running deliveries killed a process. If the process runs only one, its
death identifies the delivery (see `sync.deliveries.expired_leases`), and no other delivery is affected.
"""

import logging
import subprocess
from collections.abc import Callable

from django.conf import settings

from database.connection import release_connection
from sync.deliveries.due_deliveries import find_isolated_ids

# The time that a process may need on a busy machine before it claims anything.
START_SECONDS = 30.0

logger = logging.getLogger("hub.worker")


def run_isolated_deliveries(should_continue: Callable[[], bool], limit: int = 100) -> int:
    """Run the isolated deliveries that are due, one after the other. Returns how many processes survived.

    `should_continue` is asked before each.
    """
    waiting = find_isolated_ids(limit)
    # The subprocesses run for long; this thread needs no connection meanwhile.
    release_connection()
    return sum(_run_in_own_process(delivery_id) for delivery_id in waiting if should_continue())


def _run_in_own_process(delivery_id: int) -> bool:
    """Run a delivery in a subprocess. Returns False if the process died, or hung past its lease and was killed."""
    command = [*settings.COMMAND_LINE, "deliver_alone", str(delivery_id)]
    # The lease begins only at the claim. A process killed within its lease would be blamed for a slow start.
    seconds = START_SECONDS + settings.LEASE_SECONDS
    try:
        ended = subprocess.run(command, timeout=seconds, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        logger.error("delivery %s hung in a separate process, which was killed", delivery_id)
        return False
    if ended.returncode:
        logger.error("the process of delivery %s ended with %s", delivery_id, ended.returncode)
    return not ended.returncode
