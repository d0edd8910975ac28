"""A kind of job whose row is a source: why that is paused says how its job is. And a second kind, beside it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import transaction

from sync.jobs import kinds
from sync.jobs.claims import claim_next_job
from sync.jobs.running_job import JobKind, RunningJob, ShouldContinue
from sync.jobs.submission import submit_job
from sync.models import Job, JobState
from tests.support.builders.history import a_source
from webhooks.models import Source


class Recorder:
    """What a job of the first kind does, which a test may change. `runs`: the subjects of its runs."""

    def __init__(self) -> None:
        self.runs: list[int] = []
        self.does: Callable[[RunningJob, ShouldContinue], None] = lambda job, _: job.finish()
        self.at_once: int | None = None
        self.tidied = 0

    def run(self, job: RunningJob, goes_on: ShouldContinue) -> None:
        self.runs.append(job.subject)
        self.does(job, goes_on)

    def tidy_up(self) -> None:
        self.tidied += 1


RECORDER = Recorder()


def follow(subject: int, state: JobState, failure: str) -> None:
    Source.objects.filter(pk=subject).update(pause_reason=f"{state} {failure}".strip())


COUNTING = JobKind(
    "counting",
    lambda job, goes_on: RECORDER.run(job, goes_on),
    follow,
    lambda: RECORDER.at_once,
    tidy_up=lambda: RECORDER.tidy_up(),
)
OTHER = JobKind("other", lambda job, _: job.finish())


@pytest.fixture
def recorder(database: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    """The hub has these two kinds of jobs alone."""
    settings.JOB_KINDS = (f"{__name__}.COUNTING", f"{__name__}.OTHER")
    kinds.job_kinds.cache_clear()
    monkeypatch.setattr(f"{__name__}.RECORDER", Recorder())
    yield RECORDER
    kinds.job_kinds.cache_clear()


def submitted(slug: str = "first", kind: str = "counting") -> int:
    """A source whose job waits; its key."""
    source = a_source(slug)
    submit_job(kind, source.pk)
    return int(source.pk)


def claimed(kind: JobKind = COUNTING) -> RunningJob:
    """The next job, which somebody runs now."""
    job = claim_next_job(kind)
    assert job is not None
    return job


def write_to_row(job: RunningJob, name: str) -> None:
    """As a kind writes to its row: in a transaction, as long as the job is its own."""
    with transaction.atomic():
        Source.objects.filter(pk=job.subject).update(name=name)
        job.renew_lease()


def said_of(subject: int) -> str:
    """What the row of a job says of it."""
    return Source.objects.get(pk=subject).pause_reason


def job_of(subject: int) -> Job:
    """The newest job of a source."""
    return Job.objects.filter(subject=subject).latest("pk")
