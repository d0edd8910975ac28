"""A worker runs one job of each kind at a time, so that a long one delays no other kind."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection

from sync.jobs.running_job import JobStopped
from sync.models import Job
from sync.worker import job_runner
from sync.worker.job_runner import JobRunner
from sync.worker.worker import Worker
from tests.support.job_kinds import COUNTING, OTHER, Recorder, claim_job, job_of, recorder, submit_source_job

__all__ = ["recorder"]

pytestmark = pytest.mark.concurrent

SECONDS = 60.0


@pytest.fixture
def worker() -> Iterator[Worker]:
    """Yield a worker and stop it completely."""
    before = set(threading.enumerate())
    started = Worker(threads=1)
    started.start()
    yield started
    started.drain(SECONDS)
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith(("dispatcher", "isolation", "clock", "sealer", "job", "long-")):
            thread.join(SECONDS)
            assert not thread.is_alive(), thread.name


def is_so(holds: Callable[[], bool]) -> bool:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        if holds():
            return True
        connection.close()
        time.sleep(0.05)
    return False


@pytest.mark.submission
def test_a_long_job_delays_no_job_of_another_kind(recorder: Recorder, request: pytest.FixtureRequest) -> None:
    """With one thread for all kinds the other one would have to wait."""
    begun, may_end = threading.Event(), threading.Event()

    def take_long(job: Any, _: Any) -> None:
        begun.set()
        may_end.wait(60)
        job.finish()

    recorder.action = take_long
    long, next_long = submit_source_job("first"), submit_source_job("second")
    request.getfixturevalue("worker")
    try:
        assert begun.wait(SECONDS)
        other = submit_source_job("third", "other")
        assert is_so(lambda: job_of(other).state == "done")
        assert (job_of(long).state, job_of(next_long).state) == ("running", "waiting"), (
            "one of a kind at a time"
        )
    finally:
        may_end.set()
    assert is_so(lambda: job_of(next_long).state == "done")


@pytest.mark.submission
def test_a_stopping_worker_waits_until_its_job_is_handed_back(recorder: Recorder, worker: Worker) -> None:
    def go_on_until_told(job: Any, goes_on: Callable[[], bool]) -> None:
        while goes_on():
            time.sleep(0.02)
        raise JobStopped

    recorder.action = go_on_until_told
    key = submit_source_job()
    assert is_so(lambda: job_of(key).state == "running")
    assert worker.drain(SECONDS) == 0
    assert job_of(key).state == "waiting"


@pytest.mark.submission
def test_an_error_in_one_job_ends_neither_its_worker_nor_the_next_job(
    recorder: Recorder, worker: Worker
) -> None:
    def fail_first(job: Any, _: Any) -> None:
        if job.subject == first:
            raise SystemError
        job.finish()

    recorder.action = fail_first
    first = submit_source_job("first")
    second = submit_source_job("second")
    assert is_so(lambda: job_of(second).state == "done")
    assert (job_of(first).state, job_of(first).errors) == ("waiting", 1)


def test_a_kind_that_requires_its_own_process_gets_one(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    apart, here = [], []
    monkeypatch.setattr(job_runner, "run_in_subprocess", lambda job, _: apart.append(job.subject))
    monkeypatch.setattr(job_runner, "run_job", lambda job, _: here.append(job.subject))
    keys = submit_source_job("first"), submit_source_job("second", "other")
    for job in (replace(claim_job(), kind=replace(COUNTING, runs_in_subprocess=True)), claim_job(OTHER)):
        job_runner.run_here_or_in_subprocess(job, lambda: True)
    assert (apart, here) == ([keys[0]], [keys[1]])
    assert Job.objects.filter(state="running").count() == 2


def test_a_kind_whose_thread_does_not_start_is_tried_again(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    recorder.action = lambda job, _: job.finish()
    key, runner = submit_source_job(), JobRunner(lambda: True)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        runner.start_due_kinds()
    assert job_of(key).state == "waiting"
    runner.start_due_kinds()
    assert is_so(lambda: job_of(key).state == "done")
