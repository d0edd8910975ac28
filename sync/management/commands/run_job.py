"""`manage.py run_job`: a job in a process of its own; a worker that has claimed it calls this."""

import uuid
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from sync.jobs.claims import load_claimed_job
from sync.jobs.job_execution import run_job
from sync.worker.job_process import lower_priority, until_signal, yield_cpu_when_busy
from sync.worker.process_tuning import freeze_loaded_objects


class Command(BaseCommand):
    help = (
        "Run a job that was submitted, or go on with it, as whoever claimed it; until SIGTERM or SIGINT, after which "
        "it is left to the next worker. Nothing happens if the claim has ended."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("job", type=int, metavar="ID")
        parser.add_argument("token", type=uuid.UUID)

    def handle(self, *, job: int, token: uuid.UUID, **_: Any) -> None:
        goes_on = until_signal()
        lower_priority()
        freeze_loaded_objects()
        running = load_claimed_job(job, token)
        if running is not None:
            run_job(running, yield_cpu_when_busy(goes_on))
