"""`manage.py deliver_due`: run what is due, and what a process that is gone left behind."""

import signal
import threading
import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import OperationalError

from sync.clock import database_now
from sync.models import Delivery
from sync.subjects import WAITING
from sync.tasks import run_due
from webhooks.models import State


class Command(BaseCommand):
    help = (
        "Run every delivery that is due, and wait for claims of processes that are gone to end. "
        "With --watch, go on until stopped."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--watch", type=float, metavar="SECONDS", help="look again so often, until stopped"
        )
        parser.add_argument("--wait", type=float, default=settings.LEASE_SECONDS + 5, metavar="SECONDS")
        parser.add_argument("--early", action="store_true", help="do not wait for the time of the next try")

    def handle(self, *, watch: float | None, wait: float, early: bool, **_: Any) -> None:
        if early:
            Delivery.objects.filter(state__in=WAITING).update(due_at=database_now())
        if watch is None:
            self._drain(wait)
            return
        stopped = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopped.set())
        while not stopped.is_set():
            self._look()
            stopped.wait(watch)

    def _look(self) -> None:
        """A database that is away for a while does not end the watch."""
        try:
            run_due()
        except OperationalError as error:
            self.stderr.write(f"The database is not there ({type(error).__name__}); trying again.")

    def _drain(self, wait: float) -> None:
        until, ran = time.monotonic() + wait, 0
        while True:
            found = run_due()
            ran += found
            held = Delivery.objects.filter(state=State.RUNNING).count()
            if not found and (not held or time.monotonic() >= until):
                break
            if not found:
                time.sleep(0.25)
        later = Delivery.objects.filter(state__in=WAITING).count()
        self.stdout.write(f"{ran} delivered, {later} wait for a later try, {held} still claimed.")
