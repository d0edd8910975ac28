"""The worker: runs due deliveries, isolates those that kill processes, and runs periodic work and jobs.

Threads: one dispatches, DELIVERY_THREADS deliver; isolation, clock, sealer and jobs have one each. Long periodic work
and each kind of job gets one while it runs.
"""

import logging
import random
import threading
from collections.abc import Callable
from functools import partial

from django.db import DatabaseError

from database.connection import release_connection, thread_connection
from sync.execution.executor import run_with_next
from sync.execution.periodic import ScheduledWork, begin_due_work, run_begun_work
from sync.execution.wakeups import WakeupListener
from sync.housekeeping.audit_upkeep import seal_audit
from sync.worker.crash_isolation import run_isolated_deliveries
from sync.worker.dispatcher import DeliveryDispatcher, PollTimes
from sync.worker.heartbeat import make_heartbeat
from sync.worker.job_runner import JobRunner
from sync.worker.schedule import LONG_PERIODIC, PERIODIC
from sync.worker.work_in_progress import WorkInProgress

logger = logging.getLogger("hub.worker")

# A wake-up may be lost, so each worker polls too.
POLL_SECONDS, CHECK_SECONDS = 2.0, 1.0
# On SQLite nothing wakes workers: a poll reads an index and costs a tenth of a millisecond.
_SQLITE_BUSY_SECONDS, _SQLITE_QUIET_SECONDS = 0.1, 0.2


class Worker:
    """A worker, running from `start` to `drain`.

    `poll_seconds` is the time between two polls for lost wake-ups and dead processes, `check_seconds` the time between
    two polls for other work. If `is_notified`, the database notifies it of deliveries; otherwise only `request_poll`
    does.
    """

    def __init__(
        self,
        threads: int,
        poll_seconds: float = POLL_SECONDS,
        check_seconds: float = CHECK_SECONDS,
        *,
        is_notified: bool = True,
    ) -> None:
        self._poll_seconds, self._check_seconds = poll_seconds, check_seconds
        self.progress = WorkInProgress()
        self._wait = _wait_for_wakeup(self.progress) if is_notified else self.progress.wait
        times = _poll_times(poll_seconds) if is_notified else PollTimes(*[poll_seconds] * 3)
        self._dispatcher = DeliveryDispatcher(threads, times, self.progress)
        self._heartbeat = make_heartbeat()
        self.jobs = JobRunner(self.progress.should_continue, self.progress.track_work)
        self._long_running: set[str] = set()

    def start(self) -> None:
        """Start all threads, as daemons: if a drain takes too long, the process ends without them, and their leases
        expire.
        """
        self._dispatcher.start(_start_thread)
        _start_thread("dispatcher", partial(self._call_repeatedly, self._dispatch_due, self._wait))
        self._start_periodic_thread("isolation", self._run_isolated_deliveries, self._poll_seconds)
        self._start_periodic_thread("clock", self._run_periodic, self._check_seconds)
        _start_thread(
            "sealer", partial(self._call_repeatedly, self._seal_audit_log, self.progress.stopping.wait, 1.0)
        )
        self._start_periodic_thread("jobs", self.jobs.start_due_kinds, self._check_seconds)

    def request_poll(self) -> None:
        """Poll for due deliveries now. Only for a worker that is not notified."""
        self.progress.request_poll()

    def deliver(self, delivery_id: int) -> None:
        """Run a delivery in the calling thread, in place of a delivery thread; nothing once the worker is stopping."""
        with self._dispatcher.reserved_thread(), self.progress.track_work() as may_begin:
            if may_begin:
                run_with_next(delivery_id, self.progress.should_continue)

    def drain(self, seconds: float) -> int:
        """Stop new work and wait at most `seconds` for running work. Returns how many pieces of work still ran."""
        return self.progress.stop(seconds)

    def _dispatch_due(self) -> float:
        # Before the round, because one that the database ends is no reason to restart this process.
        self._heartbeat.beat()
        return self._dispatcher.dispatch_due()

    def _run_isolated_deliveries(self) -> None:
        with self.progress.track_work() as may_begin:
            if may_begin:
                run_isolated_deliveries(self.progress.should_continue)

    def _seal_audit_log(self) -> float:
        """Seal the audit log. Returns the seconds until the next run."""
        # Each check is a transaction, so an idle log is checked half as often.
        return self._check_seconds * (1.0 if seal_audit() else 2.0) * random.uniform(0.75, 1.25)  # noqa: S311

    def _run_periodic(self) -> None:
        """Run due periodic work, long work on a thread of its own: an erasure must not wait for a verification."""
        # Work that still runs in this process is not begun a second time.
        long = tuple(work for work in LONG_PERIODIC if work.name not in self._long_running)
        # Long work first: it only starts threads here, while PERIODIC runs in this thread.
        for work in begin_due_work((*long, *PERIODIC)):
            if work in long:
                self._long_running.add(work.name)
                _start_thread(f"long-{work.name}", partial(self._run_long, work))
            else:
                run_begun_work(work)

    def _run_long(self, work: ScheduledWork) -> None:
        try:
            run_begun_work(work)
        except DatabaseError as error:
            logger.warning("the end of %s could not be recorded (%s)", work.name, type(error).__name__)
        finally:
            self._long_running.discard(work.name)
            release_connection()

    def _start_periodic_thread(self, name: str, run: Callable[[], object], seconds: float) -> None:
        """Start a thread that calls `run` every `seconds`, out of step with other workers."""

        def run_and_pause() -> float:
            run()
            return seconds * random.uniform(0.75, 1.25)  # noqa: S311 - spreads, hides nothing

        # The first pause is random too, so that workers started together do not stay in step.
        first = seconds * random.uniform(0.5, 1.0)  # noqa: S311
        _start_thread(name, partial(self._call_repeatedly, run_and_pause, self.progress.stopping.wait, first))

    def _call_repeatedly(
        self, run: Callable[[], float], wait: Callable[[float], object], pause: float = 0.0
    ) -> None:
        """Call `run` again and again, after as many seconds as it returned. An unavailable database delays it."""
        is_unavailable = False
        while self.progress.should_continue():
            if pause:
                wait(pause)
            try:
                pause = run() if self.progress.should_continue() else 0.0
                is_unavailable = False
            except DatabaseError as error:
                # One log line for each outage, not one for each second.
                if not is_unavailable:
                    logger.warning("the database is unavailable (%s); retrying", type(error).__name__)
                is_unavailable, pause = True, 1.0
            except Exception:
                logger.exception("%s failed; retrying", getattr(run, "__name__", run))
                pause = 1.0
            finally:
                release_connection()


def _wait_for_wakeup(progress: WorkInProgress) -> Callable[[float], object]:
    """Return a function that waits for a wake-up, or for a number of seconds."""
    is_postgresql = thread_connection().vendor == "postgresql"
    return WakeupListener(progress.stopping.wait).wait if is_postgresql else progress.stopping.wait


def _poll_times(seconds: float) -> PollTimes:
    if thread_connection().vendor == "postgresql":
        return PollTimes(seconds, seconds, seconds)
    return PollTimes(min(_SQLITE_BUSY_SECONDS, seconds), min(_SQLITE_QUIET_SECONDS, seconds), seconds)


def _start_thread(name: str, target: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=target, name=name, daemon=True)
    thread.start()
    return thread
