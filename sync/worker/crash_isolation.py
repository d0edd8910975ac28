"""Deliveries under which processes died twice: each runs alone, in a process that does nothing else.

Which of those that ran when a process died is to blame cannot be seen from outside; a death alone tells (see
`sync.deliveries.expired_leases`), and it takes nobody else along.
"""

import logging
import subprocess
from collections.abc import Callable

from django.conf import settings

from database.connection import release_connection
from sync.deliveries.due import suspects

logger = logging.getLogger("hub.worker")


def run_suspects(goes_on: Callable[[], bool], limit: int = 100) -> int:
    """Run the suspects that are due, one after the other; `goes_on` is asked before each. Returns how many survived."""
    waiting = suspects(limit)
    release_connection()
    return sum(_run_alone(each) for each in waiting if goes_on())


def _run_alone(delivery_id: int) -> bool:
    """Whether its process ended by itself; one that hangs is killed once its lease has ended."""
    command = [*settings.COMMAND_LINE, "deliver_alone", str(delivery_id)]
    try:
        ended = subprocess.run(command, timeout=settings.LEASE_SECONDS * 1.5, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        logger.error("delivery %s hung alone in its process, which was killed", delivery_id)
        return False
    if ended.returncode:
        logger.error("the process of delivery %s ended with %s", delivery_id, ended.returncode)
    return not ended.returncode
