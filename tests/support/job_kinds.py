"""Two kinds of jobs for tests. The row of the first kind is a source, whose pause reason holds the state of its job."""

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
    """The work of the first kind of job, which a test may replace (`action`). `runs`: the subjects of all runs."""

    def __init__(self) -> None:
        self.runs: list[int] = []
        self.action: Callable[[RunningJob, ShouldContinue], None] = lambda job, _: job.finish()
        self.at_once: int | None = None
        self.tidied = 0

    def run(self, job: RunningJob, should_continue: ShouldContinue) -> None:
        self.runs.append(job.subject)
        self.action(job, should_continue)

    def clean_up(self) -> None:
        self.tidied += 1


RECORDER = Recorder()


def follow(subject: int, state: JobState, failure: str) -> None:
    Source.objects.filter(pk=subject).update(pause_reason=f"{state} {failure}".strip())


COUNTING = JobKind(
    "counting",
    lambda job, should_continue: RECORDER.run(job, should_continue),
    follow,
    lambda: RECORDER.at_once,
    clean_up=lambda: RECORDER.clean_up(),
)
OTHER = JobKind("other", lambda job, _: job.finish())


@pytest.fixture
def recorder(database: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    """Configure these two kinds as the only kinds of jobs."""
    settings.JOB_KINDS = {
        kind.name: f"{__name__}.{name}" for name, kind in (("COUNTING", COUNTING), ("OTHER", OTHER))
    }
    kinds.job_kind.cache_clear()
    monkeypatch.setattr(f"{__name__}.RECORDER", Recorder())
    yield RECORDER
    kinds.job_kind.cache_clear()


def submit_source_job(slug: str = "first", kind: str = "counting") -> int:
    """Create a source and submit a job for it. Returns the key of the source."""
    source = a_source(slug)
    submit_job(kind, source.pk)
    return int(source.pk)


def claim_job(kind: JobKind = COUNTING) -> RunningJob:
    """Claim the next job of a kind."""
    job = claim_next_job(kind)
    assert job is not None
    return job


def write_to_row(job: RunningJob, name: str) -> None:
    """Change the row of a job in a transaction that renews the lease, as a kind of job does."""
    with transaction.atomic():
        Source.objects.filter(pk=job.subject).update(name=name)
        job.renew_lease()


def job_note(subject: int) -> str:
    """Return the note that the job left in its row."""
    return Source.objects.get(pk=subject).pause_reason


def job_of(subject: int) -> Job:
    """Return the newest job of a source."""
    return Job.objects.filter(subject=subject).latest("pk")
