"""A kind of job, and a job that this process runs.

Every write is a compare-and-set on the token of the claim. Where a transaction writes to the row of the subject too,
it does so before the job: all transactions lock in that order.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import F
from django.db.models.functions import Coalesce, Least

from database.clock import database_now
from sync.models import Job, JobState

# Twice the half minute within which each kind renews it.
LEASE_SECONDS = 60.0
# The due time of a job that is due at once: in front of jobs that have not begun. The time of its submission is in the
# future if the clock was set back since.
FRONT_OF_QUEUE = Least(F("submitted_at"), database_now())
UNCLAIMED_COLUMNS: dict[str, Any] = {"token": None, "lease_until": None, "slot": None}
# False once the process is stopping.
ShouldContinue = Callable[[], bool]


def _ignore_state(_subject: int, _state: JobState, _failure: str) -> None:
    """Do nothing: rows of this kind do not show the state of their job."""


def _no_limit() -> int | None:
    return None


@dataclass(frozen=True, slots=True)
class JobKind:
    """A kind of job: its name, its function and its limits.

    `run` does the work and ends its job (`finish`, `fail`) or requeues it. It renews the lease at least every half
    minute, and raises `JobStopped` soon after `should_continue` returns False. `update_subject` writes the job's state
    to the row of its subject, in the transaction that changes the job. `concurrency_limit` is the number of jobs that
    may run at the same time over all workers; None means any number. If `runs_in_subprocess`, the job runs in a
    separate process. `clean_up` is called every ten minutes, by one worker.
    """

    name: str
    run: "Callable[[RunningJob, ShouldContinue], None]"
    update_subject: Callable[[int, JobState, str], None] = _ignore_state
    concurrency_limit: Callable[[], int | None] = _no_limit
    runs_in_subprocess: bool = False
    clean_up: Callable[[], object] | None = None


class JobLost(Exception):
    """Another worker has the job, or it has ended. Nothing may be written for it."""


class JobCancelled(JobLost):
    """The job was cancelled while we ran it."""


class JobStopped(Exception):
    """This process is stopping: the job must be requeued."""


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A job that this process holds while it renews the lease."""

    job_id: int
    kind: JobKind
    subject: int
    token: uuid.UUID

    def renew_lease(self, *, using: str = DEFAULT_DB_ALIAS, made_progress: bool = False) -> None:
        """Renew the lease for another minute. Raises JobLost or JobCancelled.

        Inside a transaction this locks the job until the commit, so that no other worker takes it over.
        `made_progress`: the results so far are stored, so that a later run continues after them.
        """
        counts = {"deaths": 0, "errors": 0} if made_progress else {}
        self._write(using, lease_until=database_now(plus_seconds=LEASE_SECONDS), **counts)

    def finish(self) -> None:
        """End the job as done. Raises JobLost or JobCancelled."""
        self._write(state=JobState.DONE, ended_at=database_now(), due_at=None, **UNCLAIMED_COLUMNS)

    def fail(self, failure: str) -> None:
        """End the job as failed, with a sentence for people. Raises JobLost or JobCancelled."""
        ended = {"state": JobState.FAILED, "ended_at": database_now(), "failure": failure[:200]}
        self._write(**ended, due_at=None, **UNCLAIMED_COLUMNS)

    def requeue(self, *, after: float = 0.0) -> None:
        """Let any worker resume the job in `after` seconds. Raises JobLost or JobCancelled.

        It is due at once if it was submitted again meanwhile. Resets the counts of errors and deaths.
        """
        self._release_job(after, deaths=0, errors=0)

    def postpone(self, after: float) -> None:
        """Let any worker retry the job in `after` seconds, and count the error. Raises JobLost or JobCancelled."""
        self._release_job(after, errors=F("errors") + 1)

    def _release_job(self, after: float, **counts: Any) -> None:
        # A running job has a due time only if it was submitted again meanwhile.
        due_at = Coalesce("due_at", database_now(plus_seconds=after)) if after else FRONT_OF_QUEUE
        with transaction.atomic():
            # The row of the subject before the job: all transactions lock in that order.
            self.kind.update_subject(self.subject, JobState.WAITING, "")
            self._write(state=JobState.WAITING, due_at=due_at, **UNCLAIMED_COLUMNS, **counts)

    def _write(self, using: str = DEFAULT_DB_ALIAS, **values: Any) -> None:
        jobs = Job.objects.using(using)
        if jobs.filter(pk=self.job_id, token=self.token, state=JobState.RUNNING).update(**values):
            return
        is_cancelled = jobs.filter(pk=self.job_id, state=JobState.CANCELLED).exists()
        raise JobCancelled if is_cancelled else JobLost
