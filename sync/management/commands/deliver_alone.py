"""`manage.py deliver_alone`: one delivery in a process of its own; the worker calls it for suspects."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from sync.attempts.delivery_run import run_delivery


class Command(BaseCommand):
    help = "Run one due delivery in a separate process. Does nothing if the delivery is not due."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("delivery", type=int, metavar="ID")

    def handle(self, *, delivery: int, **_: Any) -> None:
        run_delivery(delivery, in_own_process=True)
