"""Jobs that run in a process of their own, behind whoever receives webhooks and delivers.

An export would keep a core busy for minutes, and the interpreter's lock of the worker with it.
"""

import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from django.conf import settings

from database.connection import release_connection
from sync.jobs.running_job import RunningJob, ShouldContinue
from sync.worker.process_tuning import unpin_process

logger = logging.getLogger("hub.jobs")

COMMAND = [*settings.COMMAND_LINE, "run_job"]
NICENESS = 10
_AUTOGROUP = Path("/proc/self/autogroup")
_SCHEDULER_STATISTICS = Path("/proc/self/schedstat")
_BUSY_SHARE = 0.02  # of the time that a piece of work took
_REST_SHARE = 0.5  # of that time
_MAX_REST_SECONDS = 1.0  # seconds
_POLL_SECONDS = 0.2


def run_in_subprocess(job: RunningJob, should_continue: ShouldContinue) -> None:
    """Run a job in another process, which is told to end when this one is. If it dies, the lease of the job ends.

    It has a session of its own: see `lower_priority`.
    """
    release_connection()
    process = subprocess.Popen([*COMMAND, str(job.job_id), str(job.token)], start_new_session=True)  # noqa: S603
    unpin_process(process.pid)
    while process.poll() is None:
        if not should_continue():
            process.terminate()
        try:
            process.wait(_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    if process.returncode:
        logger.error("the process of %s %s ended with %s", job.kind.name, job.subject, process.returncode)


def lower_priority() -> None:
    """Let every other process of this machine go first, from now on.

    Linux may give each session its share of a core whatever the niceness of its processes (sched(7), autogroups): a
    process that leads one lowers its session too.
    """
    os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    if os.getsid(0) == os.getpid():
        with suppress(OSError):  # a kernel without it
            _AUTOGROUP.write_text(str(NICENESS))


def yield_cpu_when_busy(should_continue: Callable[[], bool]) -> Callable[[], bool]:
    """`should_continue`, for whoever asks it after each piece of work. Where cores were short meanwhile, it rests before it
    answers, half as long as the piece took.

    Niceness decides who goes on where two want a core; who has just woken up still finds one taken for a moment. Beside
    a process that only computes 95 % of fifty webhooks a second took 1.4 times as long on two cores, and 1.2 times
    where it rested so. On a machine with cores to spare it never rests.
    """
    ended, waited = time.monotonic(), _seconds_waited()

    def rested() -> bool:
        nonlocal ended, waited
        took = time.monotonic() - ended
        if _seconds_waited() - waited > _BUSY_SHARE * took:
            time.sleep(min(_REST_SHARE * took, _MAX_REST_SECONDS))
        ended, waited = time.monotonic(), _seconds_waited()
        return should_continue()

    return rested


def _seconds_waited() -> float:
    """For how long this process was ready to run and had no core; 0 where the kernel does not tell."""
    try:
        return int(_SCHEDULER_STATISTICS.read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def until_signal() -> Callable[[], bool]:
    """Whether this process goes on: not after SIGTERM or SIGINT. A worker, which waits for them, blocks them in what it
    starts too."""
    told: list[int] = []
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda number, _: told.append(number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
    return lambda: not told
