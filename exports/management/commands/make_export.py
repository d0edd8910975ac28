"""`manage.py make_export`: an export in a process of its own; a worker that has claimed it calls this."""

import uuid
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from exports.claims import Claim
from exports.jobs.lifecycle import run
from exports.jobs.worker import resting, stand_back, until_told
from sync.worker.process_tuning import freeze_loaded_objects


class Command(BaseCommand):
    help = (
        "Make an export that was asked for, or go on with it, as whoever claimed it; until SIGTERM or SIGINT, after "
        "which it is left to the next worker. Nothing happens if the claim has ended."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("export", type=int, metavar="ID")
        parser.add_argument("token", type=uuid.UUID)

    def handle(self, *, export: int, token: uuid.UUID, **_: Any) -> None:
        goes_on = until_told()
        stand_back()
        freeze_loaded_objects()
        run(Claim(export, token), resting(goes_on))
