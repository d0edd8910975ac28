"""A job pauses on a busy machine, and nowhere else."""

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from sync.jobs.running_job import JobKind, RunningJob, ShouldContinue
from sync.worker import job_process
from sync.worker.job_runner import run_here_or_in_subprocess


class Machine:
    """A clock that advances with work and pauses, and the kernel's figure of waits for a core."""

    def __init__(self, told: Path) -> None:
        self.now, self.rests = 100.0, list[float]()
        self._told, self._waited = told, 0
        self.work(0.0)

    def work(self, seconds: float, waited: float = 0.0) -> None:
        self.now += seconds
        self._waited += round(waited * 1e9)
        self._told.write_text(f"{round(self.now * 1e9)} {self._waited} 77\n")

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.rests.append(round(seconds, 6))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    made = Machine(tmp_path / "schedstat")
    monkeypatch.setattr(job_process, "time", made)
    monkeypatch.setattr(job_process, "_SCHEDULER_STATISTICS", tmp_path / "schedstat")
    return made


@pytest.fixture
def goes_on(machine: Machine) -> Callable[[], bool]:
    return job_process.yield_cpu_when_busy(lambda: machine.now < 1_000)


def test_a_job_pauses_half_as_long_as_it_worked_on_a_busy_machine(
    machine: Machine, goes_on: Callable[[], bool]
) -> None:
    for waited in (0.03, 0.0, 0.001, 0.05, 0.0):
        machine.work(0.1, waited)
        assert goes_on()
    assert machine.rests == [0.05, 0.05], (
        "neither after a piece that waited for nothing, nor for an older wait"
    )


def test_a_job_in_a_thread_of_the_worker_pauses_too(machine: Machine) -> None:
    def work_once(_: RunningJob, goes_on: ShouldContinue) -> None:
        machine.work(0.1, waited=0.05)
        assert goes_on()

    kind = JobKind("any", work_once)
    run_here_or_in_subprocess(RunningJob(1, kind, 1, uuid.uuid4()), lambda: True)
    assert machine.rests == [0.05]


def test_no_pause_is_longer_than_a_second_and_the_check_after_it_counts(
    machine: Machine, goes_on: Callable[[], bool]
) -> None:
    machine.work(899.5, 100.0)
    assert not goes_on(), "it may not go on since it rested"
    assert machine.rests == [1.0]


@pytest.mark.parametrize("text", ["1", "a b c"])
def test_a_kernel_without_pressure_figures_causes_no_pause(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (tmp_path / "other").write_text(text)
    for told in (tmp_path / "other", tmp_path / "nowhere"):
        monkeypatch.setattr(job_process, "_SCHEDULER_STATISTICS", told)
        goes_on = job_process.yield_cpu_when_busy(lambda: True)
        machine.now += 5
        assert goes_on()
    assert machine.rests == []
