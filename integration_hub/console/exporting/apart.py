"""A worker's exports, each in a process of its own that stands back behind whoever takes webhooks in and delivers.

It would keep a core busy for minutes, and the interpreter's lock of the worker with it.
"""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from django.conf import settings

from integration_hub.console.exporting import jobs
from integration_hub.console.exporting.claiming import Claim
from sync.releasing import release_connection

logger = logging.getLogger("hub.exports")

COMMAND = [sys.executable, str(settings.BASE_DIR / "manage.py"), "make_export"]
NICENESS = 10
_AUTOGROUP = Path("/proc/self/autogroup")
_LOOK_SECONDS = 0.2


def look(goes_on: Callable[[], bool]) -> None:
    """A worker's look; see `jobs.look`."""
    jobs.look(goes_on, run_apart)


def run_apart(taken: Claim, goes_on: Callable[[], bool]) -> None:
    """Make it in another process, which is told to end when this one is. If it dies, the lease of the export ends.

    It has a session of its own: see `stand_back`.
    """
    release_connection()
    command = [*COMMAND, str(taken.export_id), str(taken.token)]
    process = subprocess.Popen(command, start_new_session=True)  # noqa: S603
    while process.poll() is None:
        if not goes_on():
            process.terminate()
        try:
            process.wait(_LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    if process.returncode:
        logger.error("the process of export %s ended with %s", taken.export_id, process.returncode)


def stand_back() -> None:
    """Let every other process of this machine go first, from now on.

    Linux may give each session its share of a core whatever the niceness of its processes (sched(7), autogroups): a
    process that leads one lowers its session too.
    """
    os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    if os.getsid(0) == os.getpid():
        with suppress(OSError):  # a kernel without it
            _AUTOGROUP.write_text(str(NICENESS))


def until_told() -> Callable[[], bool]:
    """Whether this process goes on: not after SIGTERM or SIGINT. A worker, which waits for them, blocks them in what it
    starts too."""
    told: list[int] = []
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda number, _: told.append(number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
    return lambda: not told
