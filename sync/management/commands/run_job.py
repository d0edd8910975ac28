"""`manage.py run_job`: a job in a separate process; a worker that has claimed it calls this."""

import uuid
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from sync.jobs.claims import load_claimed_job
from sync.jobs.job_execution import run_job
from sync.metrics.process_metrics import start_measuring
from sync.worker.job_process import lower_priority, until_signal, yield_cpu_when_busy


class Command(BaseCommand):
    help = (
        "Start or resume a job under an existing claim, until it finishes or SIGTERM or SIGINT "
        "hands it to the next worker. Does nothing if the claim has expired."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("job", type=int, metavar="ID")
        parser.add_argument("token", type=uuid.UUID)

    def handle(self, *, job: int, token: uuid.UUID, **_: Any) -> None:
        should_continue = until_signal()
        lower_priority()
        start_measuring("job")
        running = load_claimed_job(job, token)
        if running is not None:
            run_job(running, yield_cpu_when_busy(should_continue))
