"""Isolate possible poison deliveries: a delivery during which a process died runs alone in a separate process.

From outside it cannot be seen which of several running deliveries killed a process. One process runs them all, one
after the other: if it dies, that identifies the one that ran (see `sync.deliveries.expired_leases`), and no other is
affected. So the deliveries of a worker that was simply killed cost one process, not one each.
"""

import logging
import subprocess
import time
from collections.abc import Callable

from django.conf import settings

from database.connection import release_connection
from sync.deliveries.due_deliveries import find_isolated_ids

_POLL_SECONDS = 0.2

logger = logging.getLogger("hub.worker")


def run_isolated_deliveries(should_continue: Callable[[], bool], limit: int = 100) -> bool:
    """Run the isolated deliveries that are due in one subprocess, one after the other. Returns False if it died; the
    next call runs the rest.

    Once `should_continue` is false, no further one begins.
    """
    waiting = find_isolated_ids(limit)
    # The subprocess runs for long; this thread needs no connection meanwhile.
    release_connection()
    return not waiting or _run_in_subprocess(waiting, should_continue)


def _run_in_subprocess(delivery_ids: list[int], should_continue: Callable[[], bool]) -> bool:
    command = [*settings.COMMAND_LINE, "deliver_alone", *map(str, delivery_ids)]
    process = subprocess.Popen(command)  # noqa: S603
    is_stopping = False
    while process.poll() is None:
        if not is_stopping and not should_continue():
            is_stopping = True
            process.terminate()
        time.sleep(_POLL_SECONDS)
    if process.returncode:
        logger.error("the separate process of deliveries ended with %s", process.returncode)
    return not process.returncode
