"""Submit and cancel jobs, in the transaction of the decision that they follow from."""

from database.clock import database_now
from sync.jobs.running_job import UNCLAIMED_COLUMNS
from sync.models import OPEN_JOB_STATES, Job, JobState


def submit_job(kind: str, subject: int) -> None:
    """Let a worker run this job as soon as one is free.

    1. An open job of the subject becomes due now; one that runs becomes due again when it is requeued.
    2. If there is none, a new one begins to wait.

    Raises IntegrityError if another transaction submits the same job at the same moment: lock the subject's row first.
    """
    now = database_now()
    open_jobs = Job.objects.filter(kind=kind, subject=subject, state__in=OPEN_JOB_STATES)
    if not open_jobs.update(due_at=now):
        Job.objects.create(kind=kind, subject=subject, submitted_at=now, due_at=now)


def failure_text_of(kind: str, subject: int) -> str:
    """Return the reason, for people, that the newest job of a subject failed; empty if it did not fail."""
    newest = Job.objects.filter(kind=kind, subject=subject).order_by("-pk").first()
    return newest.failure if newest is not None and newest.state == JobState.FAILED else ""


def cancel_job(kind: str, subject: int) -> bool:
    """End the open job of a subject. Returns False if there is none.

    Its worker finds out at the next renewal of the lease (`JobCancelled`), and writes nothing any more.
    """
    ended = {"state": JobState.CANCELLED, "ended_at": database_now(), "due_at": None}
    return bool(
        Job.objects.filter(kind=kind, subject=subject, state__in=OPEN_JOB_STATES).update(
            **ended, **UNCLAIMED_COLUMNS
        )
    )
