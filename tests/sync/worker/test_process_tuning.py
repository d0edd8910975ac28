"""A process of many threads keeps to one core, goes where it gets more, and lets its children run anywhere.

The garbage collector leaves alone what was loaded at the start.
"""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sync.worker import process_tuning
from sync.worker.process_tuning import allowed_cores, choose, idle_between, read_busy
from tests.support.processes.sqlite_processes import finished, make_counter, start


@pytest.mark.parametrize(
    ("core", "idle", "own", "expected"),
    [
        (None, {0: 0.1, 1: 0.9}, 0.5, 1),  # it begins where there is most
        (None, {0: 0.1, 1: 0.9}, 0.01, None),  # at rest it needs none
        (0, {0: 0.0, 1: 1.0}, 0.9, 0),  # a core of its own that it uses up
        (0, {0: 0.0, 1: 1.0}, 0.5, 1),  # half of it is somebody else's
        (0, {0: 0.3, 1: 0.9}, 0.5, 0),  # for a little more nobody moves
        (0, {0: 0.0, 1: 1.0}, 0.01, 0),
        (0, {1: 0.9}, 0.5, 1),  # its own was taken away from the machine
        (0, {}, 0.9, 0),  # the system tells nothing
    ],
)
def test_where_a_process_is_best(
    core: int | None, idle: dict[int, float], own: float, expected: int | None
) -> None:
    assert choose(core, idle, own) == expected


def test_of_cores_that_are_equally_free_not_everybody_takes_the_same() -> None:
    assert {choose(None, {0: 0.95, 1: 1.0, 2: 0.2}, 0.5) for _ in range(200)} == {0, 1}


def test_how_much_was_at_rest() -> None:
    before, after = {0: (10.0, 20.0), 1: (5.0, 20.0)}, {0: (10.5, 21.0), 1: (5.0, 21.0), 2: (1.0, 1.0)}
    assert idle_between(before, after) == {0: 0.5, 1: 0.0}
    assert idle_between(before, before) == {}


def test_who_may_not_be_bound_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not each second, with a warning each."""
    asked: list[int] = []
    monkeypatch.setattr(process_tuning, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(process_tuning, "choose", lambda *_: 0)
    monkeypatch.setattr(process_tuning, "bind", lambda core: asked.append(core))  # type: ignore[func-returns-value]
    looking = threading.Thread(target=process_tuning._look_after, args=(allowed_cores(),), daemon=True)
    monkeypatch.setattr(process_tuning, "_ours", frozenset())
    looking.start()
    looking.join(20)
    assert not looking.is_alive()
    assert asked == [0]


PROCESS = """
import json, os, subprocess, sys, threading, time
import django
django.setup()
from sync.worker import process_tuning
process_tuning.LOOK_SECONDS = 0.05
stop = threading.Event()
early = threading.Thread(target=stop.wait)
early.start()
process_tuning.keep_to_one_core()
until = time.monotonic() + (20 if {waits} else 1)
while time.monotonic() < until and not ({waits} and len(os.sched_getaffinity(0)) == 1):
    sum(range(1000))
late = threading.Thread(target=stop.wait)
late.start()
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
process_tuning.set_free(child.pid)
threads = [sorted(os.sched_getaffinity(each)) for each in (early.native_id, late.native_id, 0)]
print(json.dumps([threads, sorted(os.sched_getaffinity(child.pid))]))
child.communicate(b"\\n")
stop.set()
"""


def run(*, keeps: bool) -> tuple[list[list[int]], list[int]]:
    """The cores of its threads, of before and after it was bound, and those of its child."""
    surroundings = os.environ | {
        "DJANGO_SETTINGS_MODULE": "integration_hub.settings",
        "KEEP_TO_ONE_CORE": "on" if keeps else "off",
    }
    done = subprocess.run(
        [sys.executable, "-c", PROCESS.format(waits=keeps and len(allowed_cores()) > 1)],
        env=surroundings, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    threads, child = json.loads(done.stdout)
    return threads, child


def test_all_threads_of_a_busy_process_keep_to_one_core_and_its_children_do_not() -> None:
    allowed = sorted(allowed_cores())
    assert read_busy(allowed).keys() == set(allowed)
    threads, child = run(keeps=True)
    assert {len(each) for each in threads} == {1}
    assert len({tuple(each) for each in threads}) == 1
    assert child == allowed


def test_it_can_be_switched_off() -> None:
    allowed = sorted(allowed_cores())
    threads, child = run(keeps=False)
    assert threads == [allowed] * 3
    assert child == allowed


WEB = "import integration_hub.wsgi"
WORKER = """
import signal
import django
from django.core.management import call_command
django.setup()
signal.sigwait = lambda _: None
call_command("run_worker", "--threads", "1", "--grace", "0")
"""


@pytest.mark.parametrize("process", [WEB, WORKER], ids=["web process", "worker"])
@pytest.mark.parametrize("keeps", ["on", "off"])
def test_it_is_looked_after_in(process: str, keeps: str) -> None:
    """The thread is there, and asks nothing of a process that is at rest."""
    told = 'import threading; print("core" in {each.name for each in threading.enumerate()})'
    surroundings = os.environ | {
        "DJANGO_SETTINGS_MODULE": "integration_hub.settings",
        "KEEP_TO_ONE_CORE": keeps,
    }
    done = subprocess.run(
        [sys.executable, "-c", f"{process}\n{told}"],
        env=surroundings, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == str(keeps == "on" and len(allowed_cores()) > 1)


LOOK = """
import gc, weakref
from integration_hub.wsgi import application
print(gc.get_freeze_count() > 50_000)
class Node:
    def __init__(self):
        self.itself = self
made = [weakref.ref(Node()) for _ in range(50_000)]
print(sum(each() is not None for each in made) < 25_000)
"""


@pytest.mark.pure
def test_a_web_process_keeps_what_it_loaded_and_still_collects_what_comes_later(
    tmp_path: Path,
) -> None:
    assert finished(start(make_counter(tmp_path), LOOK)).split() == ["True", "True"]
