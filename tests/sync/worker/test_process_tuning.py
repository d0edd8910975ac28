"""A process is pinned to one core, and its children are not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sync.worker import process_tuning
from sync.worker.process_tuning import allowed_cores, is_cpu_limited

PINNED = """
import json, os, subprocess, sys, threading
from pathlib import Path
import django
django.setup()
from django.conf import settings
from sync.worker import process_tuning
settings.WORKING_DIR = Path({folder!r})
process_tuning.is_cpu_limited = lambda: False
process_tuning.pin_to_one_core()
stop = threading.Event()
thread = threading.Thread(target=stop.wait, daemon=True)
thread.start()
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
process_tuning.unpin_process(child.pid)
cores = [sorted(os.sched_getaffinity(process_id)) for process_id in (0, thread.native_id, child.pid)]
print(json.dumps(cores), flush=True)
child.communicate(b"\\n")
stop.set()
input()
"""
pytestmark = pytest.mark.concurrent

needs_cores = pytest.mark.skipif(len(allowed_cores()) < 2, reason="this machine has one core")


def begin(folder: Path) -> tuple[subprocess.Popen[str], list[list[int]]]:
    """Start a process that runs until it is stopped. Returns it and the cores of itself, its thread and its child."""
    process = subprocess.Popen(
        [sys.executable, "-c", PINNED.format(folder=str(folder))],
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "integration_hub.settings", "KEEP_TO_ONE_CORE": "on"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


def end(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        process.communicate("\n", timeout=60)
        assert process.returncode == 0


@needs_cores
@pytest.mark.nightly
@pytest.mark.one_database
def test_processes_are_spread_over_the_cores_and_their_children_use_all(tmp_path: Path) -> None:
    allowed = list(allowed_cores())
    begun = [begin(tmp_path) for _ in range(3)]
    cores = [found[0] for _, found in begun]
    assert cores == [[allowed[number % len(allowed)]] for number in range(3)]
    assert all(thread == own and child == allowed for _, (own, thread, child) in begun)
    begun[0][0].kill()
    begun[0][0].wait()
    again, found = begin(tmp_path)
    assert found[0] == cores[0], "the number of a process that died is free again"
    end(again, *(process for process, _ in begun[1:]))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("cpu.max", "max 100000\n", False),
        ("cpu.max", "50000 100000\n", True),
        ("cpu.cfs_quota_us", "150000\n", True),
        ("cpu.max", "", False),
    ],
)
def test_a_quota_of_cpu_time_is_seen(
    name: str, text: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_text(text)
    monkeypatch.setattr(
        process_tuning, "_CGROUP_LIMITS", [tmp_path / name for name in ("cpu.max", "cpu.cfs_quota_us")]
    )
    assert is_cpu_limited() is expected


WORKER = """
import signal
import django
from django.core.management import call_command
django.setup()
signal.sigwait = lambda _: None
call_command("run_worker", "--threads", "1", "--grace", "0")
"""


@needs_cores
@pytest.mark.nightly
@pytest.mark.one_database
@pytest.mark.skipif(is_cpu_limited(), reason="this machine limits CPU time")
def test_a_worker_is_pinned_and_its_modules_are_frozen_at_its_start() -> None:
    surroundings = os.environ | {
        "DJANGO_SETTINGS_MODULE": "integration_hub.settings",
        "KEEP_TO_ONE_CORE": "on",
    }
    result = subprocess.run(
        [sys.executable, "-c", f"{WORKER}\nimport gc, os; print(len(os.sched_getaffinity(0)), gc.get_freeze_count())"],
        env=surroundings, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    cores, frozen = map(int, result.stdout.split()[-2:])
    assert cores == 1
    assert frozen > 100_000, "a collection would visit the objects of all modules"
