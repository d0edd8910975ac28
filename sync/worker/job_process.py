"""Let jobs use the CPU behind receiving and delivering: in a process of their own at a lower priority, and with rests
while cores are short.

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
_SCHEDULER_STATISTICS = Path("/proc/thread-self/schedstat")
# Share of the time of a piece of work that it may wait for a core before it rests.
_BUSY_SHARE = 0.02
# Rest as a share of that time.
_REST_SHARE = 0.5
# A longer rest would delay the reaction to a stop.
_MAX_REST_SECONDS = 1.0
_POLL_SECONDS = 0.2


def run_in_subprocess(job: RunningJob, should_continue: ShouldContinue) -> None:
    """Run a job in another process, which is stopped when this one is. If it dies, the lease of the job ends.

    The process leads a session of its own: see `lower_priority`.
    """
    # The subprocess opens a connection of its own, and this thread only waits.
    release_connection()
    process = subprocess.Popen([*COMMAND, str(job.job_id), str(job.token)], start_new_session=True)  # noqa: S603
    # The child inherits the one core of the worker and would compete with it there.
    unpin_process(process.pid)
    while process.poll() is None:
        if not should_continue():
            # SIGTERM lets the job hand itself back: see `until_signal`.
            process.terminate()
        try:
            process.wait(_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    if process.returncode:
        logger.error("the process of %s %s ended with %s", job.kind.name, job.subject, process.returncode)


def lower_priority() -> None:
    """Let every other process of this machine run first, from now on.

    Linux may give each session its share of a core whatever the niceness of its processes (sched(7), autogroups): a
    process that leads a session lowers the session too.
    """
    os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    if os.getsid(0) == os.getpid():
        # Some kernels have no autogroups.
        with suppress(OSError):
            _AUTOGROUP.write_text(str(NICENESS))


def yield_cpu_when_busy(should_continue: Callable[[], bool]) -> Callable[[], bool]:
    """Wrap `should_continue` so that it rests before it answers, if cores were short since the last call.

    It rests half as long as the work between two calls took. Niceness decides which of two processes gets a core, but a
    process that has just woken up still finds the core taken for a moment. Measured on two cores, next to a process
    that only computes: the 95th percentile of fifty webhooks a second took 1.4 times as long, and 1.2 times with these
    rests. With idle cores it never rests. A thread of a worker that is pinned to a core waits for the worker's other
    threads too.
    """
    ended, waited = time.monotonic(), _seconds_waited()

    def rest_and_continue() -> bool:
        nonlocal ended, waited
        took = time.monotonic() - ended
        if _seconds_waited() - waited > _BUSY_SHARE * took:
            time.sleep(min(_REST_SHARE * took, _MAX_REST_SECONDS))
        ended, waited = time.monotonic(), _seconds_waited()
        return should_continue()

    return rest_and_continue


def _seconds_waited() -> float:
    """Return the seconds for which this thread was ready to run and had no core; 0 if the kernel reports none."""
    try:
        # The second figure of `schedstat` is the time on a run queue, in nanoseconds.
        return int(_SCHEDULER_STATISTICS.read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def until_signal() -> Callable[[], bool]:
    """Return a function that returns True until SIGTERM or SIGINT arrives.

    Unblocks both signals: a worker, which waits for them, blocks them in its subprocesses too.
    """
    signals: list[int] = []
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        # The handler only records the signal; the job checks for it between two pieces of work.
        signal.signal(signal_number, lambda number, _: signals.append(number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
    return lambda: not signals
