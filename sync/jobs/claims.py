"""Claim jobs: the database decides which worker runs one."""

import uuid

from django.db import IntegrityError, transaction
from django.db.models import F, Q

from database.clock import database_now
from database.statement import Statement
from sync.jobs.kinds import job_kind
from sync.jobs.running_job import (
    FRONT_OF_QUEUE,
    LEASE_SECONDS,
    UNCLAIMED_COLUMNS,
    JobKind,
    JobLost,
    RunningJob,
)
from sync.models import Job, JobState

# A crash may have another cause; three in a row without progress point to the job.
MAX_DEATHS = 3
DIED_MESSAGE = (
    f"The background job crashed {MAX_DEATHS} times and made no progress. It is not tried again by itself."
)
# Each worker runs it every second: one statement for all kinds, without the ORM.
_DUE_KINDS = Statement(
    "SELECT DISTINCT kind FROM sync_job WHERE state IN ('waiting', 'running')"
    " AND (state = 'waiting' AND due_at <= {now} OR state = 'running' AND lease_until <= {now})"
)


def find_due_kinds() -> list[str]:
    """Return the names of kinds with a job that is due, or whose worker lost its lease."""
    return [kind for (kind,) in _DUE_KINDS.fetch_all()]


def claim_next_job(kind: JobKind) -> RunningJob | None:
    """Claim the job of a kind that has waited longest.

    1. Jobs whose lease has ended wait again, in front; or have failed, if that happened too often.
    2. The kind needs a free slot, if it has a concurrency limit.
    3. A compare-and-set makes the job ours; if another worker was faster, the next one is tried.

    Returns None if nothing is due or all slots are taken.
    """
    _release_expired(kind)
    waiting = Job.objects.filter(kind=kind.name, state=JobState.WAITING, due_at__lte=database_now())
    # Several, because other workers may claim the first ones at this moment.
    for key, subject in waiting.order_by("due_at", "pk").values_list("pk", "subject")[:20]:
        for slot in _free_slots(kind):
            running = _claim_job(key, kind, subject, slot)
            if running is not None:
                return running
    return None


def claim_job_of(kind: JobKind, subject: int) -> RunningJob | None:
    """Claim the job of this subject now, whenever it is due. It takes no slot, because the caller is not a worker.

    Returns None if there is none, or another process has it.
    """
    waiting = Job.objects.filter(kind=kind.name, subject=subject, state=JobState.WAITING)
    key = waiting.values_list("pk", flat=True).first()
    return None if key is None else _claim_job(key, kind, subject, None)


def load_claimed_job(job_id: int, token: uuid.UUID) -> RunningJob | None:
    """Return the job that another process claimed for this one; None if the claim has ended."""
    job = Job.objects.filter(pk=job_id, token=token, state=JobState.RUNNING).first()
    return None if job is None else RunningJob(job.pk, job_kind(job.kind), job.subject, token)


def _claim_job(key: int, kind: JobKind, subject: int, slot: int | None) -> RunningJob | None:
    running = RunningJob(key, kind, subject, uuid.uuid4())
    until = database_now(plus_seconds=LEASE_SECONDS)
    claim_values = {
        "state": JobState.RUNNING,
        "token": running.token,
        "lease_until": until,
        "due_at": None,
        "slot": slot,
    }
    try:
        with transaction.atomic():
            # The row of the subject before the job: all transactions lock in that order.
            kind.update_subject(subject, JobState.RUNNING, "")
            if not Job.objects.filter(pk=key, state=JobState.WAITING).update(**claim_values):
                raise JobLost
    except (JobLost, IntegrityError):
        # Another worker was faster: with the job, or with the slot.
        return None
    return running


def _free_slots(kind: JobKind) -> list[int | None]:
    limit = kind.concurrency_limit()
    if limit is None:
        return [None]
    used_slots = Job.objects.filter(kind=kind.name, slot__isnull=False).values_list("slot", flat=True)
    return [slot for slot in range(limit) if slot not in set(used_slots)]


def _release_expired(kind: JobKind) -> None:
    is_expired = Q(kind=kind.name, state=JobState.RUNNING, lease_until__lte=database_now())
    for job in Job.objects.filter(is_expired).order_by("pk")[:100]:
        has_failed = job.deaths + 1 >= MAX_DEATHS
        state, failure = (JobState.FAILED, DIED_MESSAGE) if has_failed else (JobState.WAITING, "")
        due_at, ended_at = (None, database_now()) if has_failed else (FRONT_OF_QUEUE, None)
        with transaction.atomic():
            kind.update_subject(job.subject, state, failure)
            released = Job.objects.filter(is_expired, pk=job.pk, token=job.token).update(
                state=state,
                failure=failure,
                due_at=due_at,
                ended_at=ended_at,
                deaths=F("deaths") + 1,
                **UNCLAIMED_COLUMNS,
            )
            # Another worker was faster.
            if not released:
                transaction.set_rollback(True)
