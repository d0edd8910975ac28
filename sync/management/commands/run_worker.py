"""`manage.py run_worker`: one worker, until SIGTERM or SIGINT."""

import signal
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from sync.metrics.listener import start_worker_metrics
from sync.worker.process_tuning import freeze_loaded_objects, pin_to_one_core
from sync.worker.worker import POLL_SECONDS, Worker

_STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}


class Command(BaseCommand):
    help = (
        "Run deliveries, retries, jobs and periodic work until SIGTERM or SIGINT; then finish the running work and "
        "exit with 0. You can start any number of workers, on any number of machines."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--threads", type=int, default=settings.DELIVERY_THREADS, metavar="N")
        parser.add_argument(
            "--poll",
            type=float,
            default=POLL_SECONDS,
            metavar="SECONDS",
            help="interval for finding deliveries that were not announced or whose worker stopped",
        )
        parser.add_argument(
            "--grace",
            type=float,
            default=30.0,
            metavar="SECONDS",
            help="how long to wait for running deliveries at shutdown",
        )

    def handle(self, *, threads: int, poll: float, grace: float, **_: Any) -> None:
        # Blocked before the first thread begins, so that only `sigwait` gets them: nothing runs inside a handler, and
        # it serves as process 1 of a container too. A second signal (terminal and supervisor) changes nothing.
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
        worker = Worker(threads, poll)
        pin_to_one_core()
        freeze_loaded_objects()
        worker.start()
        start_worker_metrics(threads)
        self.stdout.write(f"Delivering with {threads} threads.")
        # A pipe is buffered: the line would appear only at the end.
        self.stdout.flush()
        signal.sigwait(_STOP_SIGNALS)
        left = worker.drain(grace)
        if left:
            self.stderr.write(
                f"{left} deliveries did not finish; other workers continue them when their leases expire."
            )
