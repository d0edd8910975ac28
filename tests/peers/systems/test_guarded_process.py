"""A peer ends with the process that started it, however that process ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.pure, pytest.mark.slow]

GUARD = Path(__file__).with_name("guarded_process.py")
SLEEP = ["sh", "-c", "echo $$; sleep 60 & exec sleep 60"]
PARENT = f"""
import subprocess, sys, time
subprocess.Popen([sys.executable, {str(GUARD)!r}, "-", *{SLEEP!r}], stdin=subprocess.PIPE)
time.sleep(60)
"""


def has_processes(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until_ended(group: int) -> None:
    until = time.monotonic() + 20
    while has_processes(group):
        assert time.monotonic() < until, "a process was left behind"
        time.sleep(0.05)


def test_nothing_is_left_of_a_parent_that_was_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        group = int(parent.stdout.readline())
        assert has_processes(group)
        parent.send_signal(signal.SIGKILL)
    wait_until_ended(group)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_nothing_is_left_of_a_parent_that_its_terminal_ends(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as parent:
        assert parent.stdout is not None
        group = int(parent.stdout.readline())
        os.killpg(parent.pid, number)  # the guard gets it too
    wait_until_ended(group)


def test_the_guard_ends_with_its_command() -> None:
    command = [sys.executable, str(GUARD), "-", "sh", "-c", "echo $$; sleep 60 & exit 3"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as guard:
        assert guard.stdout is not None
        group = int(guard.stdout.readline())
        assert guard.wait(20) == 3
    wait_until_ended(group)
