"""The Celery application: `celery -A integration_hub worker --pool threads` and `celery -A integration_hub beat`.

It is imported only if CELERY_BROKER_URL is set: Celery is an optional extra.
"""

import os
import sys
from collections.abc import Iterable
from typing import Any

from celery import Celery
from celery.signals import worker_init
from django.conf import settings
from django.core.management.base import CommandError

from database.private_files import make_new_files_private
from integration_hub.start_refusals import EXIT_CODE, describe_unsafe_settings, settings_or_exit
from sync.execution.background_sender import BackgroundSender, ProcessSender

make_new_files_private()
# Set before the application is created, which reads the settings of the Django project.
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "integration_hub.settings")

# Celery would read them later, and show a traceback if they are invalid.
with settings_or_exit():
    settings.INSTALLED_APPS  # noqa: B018

app = Celery("integration_hub")
app.config_from_object("django.conf:settings", namespace="CELERY")

DELIVER_TASK = "hub.deliver"
_MAX_BATCH = 8  # deliveries in one message; one thread of a worker runs them one after the other
_EXPIRES_SECONDS = 60.0  # by then a worker has found the delivery in the database


def send_deliveries(delivery_ids: Iterable[int]) -> None:
    """Send deliveries to Celery workers. Never waits and never raises: a thread of this process sends the messages."""
    _process_sender.get_sender().submit(delivery_ids)


def _send_task(delivery_ids: list[int]) -> None:
    app.send_task(DELIVER_TASK, [delivery_ids], expires=_EXPIRES_SECONDS, retry=False)


_process_sender = ProcessSender(lambda: BackgroundSender("the broker", _send_task, _MAX_BATCH))


@worker_init.connect  # type: ignore[untyped-decorator]
def _refuse_start(**_: Any) -> None:
    """End a worker whose settings are unsafe, or whose database does not fit, with the reasons."""
    from integration_hub.checks import check_database_at_start  # Django is set up by now

    refusals = describe_unsafe_settings()
    try:
        check_database_at_start()
    except CommandError as refusal:
        refusals.append(str(refusal))
    if refusals:
        print(*refusals, sep="\n", file=sys.stderr, flush=True)
        os._exit(EXIT_CODE)  # Celery only logs an exception of a signal's receiver, and starts the worker
