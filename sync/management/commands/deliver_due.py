"""`manage.py deliver_due`: run due deliveries and deliveries of stopped processes, then exit."""

import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from database.clock import database_now
from sync.execution.executor import run_due_deliveries
from sync.models import WAITING_STATES, Delivery
from webhooks.models import State


class Command(BaseCommand):
    help = "Run all due deliveries, wait until the leases of stopped processes expire, and exit."

    def add_arguments(self, parser: ArgumentParser) -> None:
        # Longer than a lease, so that deliveries of a stopped process are released and run.
        parser.add_argument("--wait", type=float, default=settings.LEASE_SECONDS + 5, metavar="SECONDS")
        parser.add_argument(
            "--early", action="store_true", help="run waiting retries now, before they are due"
        )

    def handle(self, *, wait: float, early: bool, **_: Any) -> None:
        if early:
            Delivery.objects.filter(state__in=WAITING_STATES).update(due_at=database_now())
        self._run_until_done(wait)

    def _run_until_done(self, wait: float) -> None:
        until, ran = time.monotonic() + wait, 0
        while True:
            count = run_due_deliveries()
            ran += count
            held = Delivery.objects.filter(state=State.RUNNING).count()
            if not count and (not held or time.monotonic() >= until):
                break
            if not count:
                time.sleep(0.25)
        later = Delivery.objects.filter(state__in=WAITING_STATES).count()
        self.stdout.write(f"{ran} delivered, {later} waiting for a retry, {held} still leased.")
