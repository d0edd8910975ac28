"""`manage.py deliver_alone`: run one possible poison delivery in isolation. The worker starts it."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from sync.attempts.delivery_run import run_delivery


class Command(BaseCommand):
    help = (
        "Run one due delivery alone in this process. A worker starts this for a possible poison delivery: one during "
        "which processes died repeatedly. Does nothing if the delivery is not due."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("delivery", type=int, metavar="ID")

    def handle(self, *, delivery: int, **_: Any) -> None:
        run_delivery(delivery, in_own_process=True)
