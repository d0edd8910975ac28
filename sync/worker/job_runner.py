"""Run the jobs that are due, each kind in a thread of its own: a long export holds up no erasure and no replay."""

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from django.db import DatabaseError

from database.connection import release_connection
from sync.jobs.claims import due_kinds
from sync.jobs.kinds import job_kinds
from sync.jobs.run import run_job, run_next_jobs
from sync.jobs.running_job import GoesOn, RunningJob
from sync.worker.job_process import run_apart

logger = logging.getLogger("hub.jobs")


class JobRunner:
    """Runs one job of each kind at a time in this process.

    `goes_on` says no once the process is to end: what runs then is handed back within seconds. `counted` is entered by
    each thread for as long as it runs, so that the process can wait for it.
    """

    def __init__(
        self, goes_on: GoesOn, counted: Callable[[], AbstractContextManager[object]] = nullcontext
    ) -> None:
        self._goes_on = goes_on
        self._counted = counted
        self._busy: set[str] = set()
        self._lock = threading.Lock()

    def start_due(self) -> None:
        """Begin a thread for each kind of which a job is due and none runs here; to be called about once a second."""
        for name in job_kinds().keys() & set(due_kinds()):
            with self._lock:
                is_free = name not in self._busy and self._goes_on()
                if is_free:
                    self._busy.add(name)
            if is_free:
                threading.Thread(target=self._run, args=(name,), name=f"job-{name}", daemon=True).start()

    def _run(self, name: str) -> None:
        try:
            with self._counted():
                run_next_jobs(self._goes_on, [name], run_here_or_apart)
        except DatabaseError as error:
            logger.warning(
                "the database is away (%s); another worker goes on with the %s", type(error).__name__, name
            )
        except Exception:
            logger.exception("jobs of the kind %s could not be run; trying again", name)
        finally:
            release_connection()
            with self._lock:
                self._busy.discard(name)


def run_here_or_apart(job: RunningJob, goes_on: GoesOn) -> None:
    """Run a job in this thread, or in a process of its own if its kind asks for that."""
    (run_apart if job.kind.runs_apart else run_job)(job, goes_on)
