"""Run due jobs, each kind in a thread of its own: a long export delays no erasure and no replay."""

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from django.db import DatabaseError

from database.connection import release_connection
from sync.jobs.claims import find_due_kinds
from sync.jobs.job_execution import run_job, run_next_jobs
from sync.jobs.kinds import job_kinds
from sync.jobs.running_job import RunningJob, ShouldContinue
from sync.worker.job_process import run_in_subprocess, yield_cpu_when_busy

logger = logging.getLogger("hub.jobs")


class JobRunner:
    """Runs one job of each kind at a time in this process.

    Once `should_continue` returns False, running jobs are requeued within seconds. `track` is entered by each thread
    while it runs, so that the process can wait for it.
    """

    def __init__(
        self,
        should_continue: ShouldContinue,
        track: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._should_continue = should_continue
        self._track = track
        self._busy: set[str] = set()
        self._lock = threading.Lock()

    def start_due_kinds(self) -> None:
        """Start a thread for each kind with a due job and no job running here. Call it about once a second."""
        # A worker leaves kinds of another version of the hub alone.
        for name in job_kinds().keys() & set(find_due_kinds()):
            with self._lock:
                is_free = name not in self._busy and self._should_continue()
                if is_free:
                    self._busy.add(name)
            if is_free:
                self._start_kind(name)

    def _start_kind(self, name: str) -> None:
        try:
            threading.Thread(target=self._run_kind, args=(name,), name=f"job-{name}", daemon=True).start()
        except RuntimeError:
            logger.warning("no thread could be started for jobs of the kind %s; retrying", name)
            with self._lock:
                self._busy.discard(name)

    def _run_kind(self, name: str) -> None:
        try:
            with self._track():
                run_next_jobs(self._should_continue, [name], run_here_or_in_subprocess)
        except DatabaseError as error:
            logger.warning(
                "the database is unavailable (%s); another worker continues the %s",
                type(error).__name__,
                name,
            )
        except Exception:
            logger.exception("jobs of the kind %s could not be run; retrying", name)
        finally:
            release_connection()
            with self._lock:
                self._busy.discard(name)


def run_here_or_in_subprocess(job: RunningJob, should_continue: ShouldContinue) -> None:
    """Run a job in this thread, resting while cores are short, or in a separate process if its kind asks for that."""
    if job.kind.runs_in_subprocess:
        run_in_subprocess(job, should_continue)
    else:
        run_job(job, yield_cpu_when_busy(should_continue))
