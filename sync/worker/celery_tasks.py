"""The tasks of a Celery worker, and what else runs in its process. Loaded by Celery: see `integration_hub.celery`.

Messages carry keys of deliveries, or nothing. Each may be lost, doubled or late: the claim decides about a delivery,
and a row of the database about periodic work. In addition to its tasks the process runs a `Worker`, which polls every
few seconds: for what a broker lost, and for everything while the broker or beat is unavailable. Tasks and that worker
share DELIVERY_THREADS, the number of deliveries that run at once in the process.
"""

import threading
from collections.abc import Sequence
from typing import Any

from celery import shared_task
from celery.signals import (
    worker_init,
    worker_process_init,
    worker_ready,
    worker_shutdown,
    worker_shutting_down,
)
from django.conf import settings

from sync.execution.executor import run_due_deliveries, run_with_next
from sync.execution.periodic import run_due_work
from sync.housekeeping.audit_upkeep import seal_audit
from sync.jobs.job_execution import run_next_jobs
from sync.metrics.listener import start_worker_metrics
from sync.metrics.process_metrics import start_measuring
from sync.worker.job_runner import run_here_or_in_subprocess
from sync.worker.process_tuning import freeze_loaded_objects, pin_to_one_core
from sync.worker.schedule import LONG_PERIODIC, PERIODIC
from sync.worker.work_in_progress import WorkInProgress
from sync.worker.worker import Worker

# With the random part that keeps workers out of step, a lost message costs less than 5 s.
CHECK_SECONDS = 3.0
GRACE_SECONDS = 30.0
_lock = threading.Lock()
_worker: Worker | None = None


@shared_task(name="hub.deliver")  # type: ignore[untyped-decorator]
def deliver(delivery_ids: Sequence[int]) -> None:
    """Run these deliveries if they can be claimed, and the deliveries that follow them."""
    run = run_with_next if _worker is None else _worker.deliver
    for delivery_id in delivery_ids:
        run(int(delivery_id))


@shared_task(name="hub.dispatch_due")  # type: ignore[untyped-decorator]
def dispatch_due() -> None:
    """Run due deliveries, on the threads of this process's worker."""
    if _worker is None:
        # In a pool of processes the children have no worker.
        run_due_deliveries()
    else:
        _worker.request_poll()


@shared_task(name="hub.run_periodic_work")  # type: ignore[untyped-decorator]
def run_periodic_work() -> None:
    """Run the periodic work that is due, and seal the audit log."""
    with _work_in_progress().track_work() as may_begin:
        if may_begin:
            seal_audit()
            run_due_work((*PERIODIC, *LONG_PERIODIC))


@shared_task(name="hub.run_jobs")  # type: ignore[untyped-decorator]
def run_jobs() -> None:
    """Run the jobs that are due, of all kinds."""
    if _worker is None:
        run_next_jobs(run=run_here_or_in_subprocess)
    else:
        _worker.jobs.start_due_kinds()


def _work_in_progress() -> WorkInProgress:
    return _worker.progress if _worker else WorkInProgress()


@worker_init.connect  # type: ignore[untyped-decorator]
def start_worker(**_: Any) -> None:
    """Start the worker of this process before the broker is connected to: it may be away."""
    global _worker  # noqa: PLW0603 - one a process
    with _lock:
        if _worker is None:
            _worker = Worker(settings.DELIVERY_THREADS, CHECK_SECONDS, CHECK_SECONDS, is_notified=False)
            # Before the threads start, because they inherit the core.
            pin_to_one_core()
            freeze_loaded_objects()
            _worker.start()
            start_worker_metrics(settings.DELIVERY_THREADS)


@worker_process_init.connect  # type: ignore[untyped-decorator]
def forget_worker(**_: Any) -> None:
    """Forget the parent's worker. Called in each child of a process pool, where none of its threads runs."""
    global _worker  # noqa: PLW0603
    _worker = None
    start_measuring("worker")


@worker_ready.connect  # type: ignore[untyped-decorator]
def report_ready(**_: Any) -> None:
    """Print the same line as `run_worker`."""
    print(f"Delivering with {settings.DELIVERY_THREADS} threads.", flush=True)


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def stop_new_work(**_: Any) -> None:
    """Begin no more work, at SIGTERM. Takes no lock, since the interrupted thread may hold it."""
    if _worker is not None:
        # `WorkInProgress.stop` takes the lock that the interrupted thread may hold.
        _worker.progress.stopping.set()


@worker_shutdown.connect  # type: ignore[untyped-decorator]
def drain_worker(**_: Any) -> None:
    """Wait for the worker's threads, after Celery's own tasks ended."""
    if _worker is not None:
        _worker.drain(GRACE_SECONDS)
