"""`manage.py deliver_alone`: run possible poison deliveries one after the other in isolation. The worker starts it."""

import logging
import signal
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import DatabaseError

from database.connection import release_connection
from sync.attempts.delivery_run import run_delivery
from sync.metrics.process_metrics import start_measuring
from sync.worker.job_process import until_signal

# Beyond a lease, which begins at the claim: a process that is killed within it would be blamed for a slow start.
START_SECONDS = 30.0

logger = logging.getLogger("hub.worker")


class Command(BaseCommand):
    help = (
        "Run due deliveries in this process, one after the other. A worker starts this for possible poison "
        "deliveries: those during which a process died. Skips those that are not due."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("deliveries", type=int, nargs="+", metavar="ID")

    def handle(self, *, deliveries: list[int], **_: Any) -> None:
        should_continue = until_signal()
        start_measuring("job")
        for delivery in deliveries:
            if not should_continue():
                break
            # The kernel ends this process, whatever holds the interpreter. One that hangs is possible poison too.
            signal.setitimer(signal.ITIMER_REAL, START_SECONDS + settings.LEASE_SECONDS)
            _run(delivery)


def _run(delivery: int) -> None:
    """Run one delivery. An error of the database does not keep the others from their turn."""
    try:
        run_delivery(delivery, in_own_process=True)
    except DatabaseError as error:
        logger.warning("delivery %s could not be run (%s)", delivery, type(error).__name__)
    finally:
        release_connection()
