"""A peer ends with the process that started it, however that process ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.pure, pytest.mark.nightly, pytest.mark.concurrent]

GUARD = Path(__file__).with_name("guarded_process.py")
SLEEP = ["sh", "-c", "echo $$; sleep 600 & exec sleep 600"]
PARENT = f"""
import subprocess, sys, time
subprocess.Popen([sys.executable, {str(GUARD)!r}, "-", *{SLEEP!r}], stdin=subprocess.PIPE)
time.sleep(600)
"""


def has_processes(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGHUP])
def test_nothing_is_left_of_a_parent_that_is_ended(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as parent:
        assert parent.stdout is not None
        group = int(parent.stdout.readline())
        assert has_processes(group)
        if number == signal.SIGKILL:
            parent.kill()
        else:
            os.killpg(parent.pid, number)  # a terminal's: the guard gets it too
    until = time.monotonic() + 60
    while has_processes(group):
        assert time.monotonic() < until, "a process was left behind"
        time.sleep(0.05)
