"""Pin a process to one core, which saves CPU time, and keep what it has loaded out of garbage collections.

The threads of a process take turns at the interpreter's lock. A thread releases it for each statement, which takes
microseconds. On several cores another thread is woken for it at once, on another core, and the first waits for
milliseconds until it has the lock back; on one core it mostly has it back before any other thread runs.

A full collection visits every object, and no other thread runs meanwhile. With all modules of the hub it took 100 ms
and found nothing; during a comparison there was one every half second.
"""

import fcntl
import gc
import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from django.conf import settings

logger = logging.getLogger("hub.cores")

_CGROUP_LIMITS = (
    # Version 2: "quota period", or "max period".
    Path("/sys/fs/cgroup/cpu.max"),
    # Version 1: microseconds, or -1.
    Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
)
# The cores that this process might use, once it is pinned to one.
_allowed: Sequence[int] = ()
# Held for as long as the process lives.
_lock_file: int | None = None


def pin_to_one_core() -> None:
    """Pin this process to one core: its number among the hub's processes of this machine, modulo the allowed cores.

    Call it before other threads start: they inherit it. Does nothing if KEEP_TO_ONE_CORE is off, with one core only,
    where a container limits CPU time (another process may use the core up meanwhile), or on systems without affinity.
    """
    global _allowed  # noqa: PLW0603 - one a process
    cores = allowed_cores()
    if not settings.KEEP_TO_ONE_CORE or len(cores) < 2 or is_cpu_limited():
        return
    number = _process_number(settings.WORKING_DIR / "var" / "processes", len(cores) * 64)
    if number is None:
        return
    try:
        os.sched_setaffinity(0, {cores[number % len(cores)]})
    except OSError as error:
        logger.warning("this process cannot be pinned to a core: %s", error.strerror)
    else:
        _allowed = cores


def freeze_loaded_objects() -> None:
    """Leave all objects that exist now out of later garbage collections. Call it when the modules are loaded.

    A process that is forked later shares their memory for longer: a collection would write to each of them.
    """
    gc.collect()
    gc.freeze()


def allowed_cores() -> Sequence[int]:
    """Return the cores on which this thread may run; none if the system does not report them."""
    try:
        return sorted(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        return ()


def is_cpu_limited() -> bool:
    """True if the control group of this process has a quota of CPU time, as containers with a limit have."""
    for path in _CGROUP_LIMITS:
        try:
            quota = path.read_text().split()[0]
        except (OSError, IndexError):
            continue
        return quota not in ("max", "-1")
    return False


def _process_number(folder: Path, limit: int) -> int | None:
    """Return the lowest number that no other living process of this hub has; None if there is none, or no folder.

    The number is the name of a locked file; the system unlocks it when the process ends, however it ends.
    """
    global _lock_file  # noqa: PLW0603 - one a process
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(limit):
            # O_CLOEXEC: a subprocess that outlives this process must not keep the lock.
            file = os.open(folder / f"{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                continue
            # Closing the file would release the lock.
            _lock_file = file
            return number
    except OSError as error:
        logger.warning("this process got no number and is not pinned to a core: %s", error.strerror)
    return None


def unpin_process(pid: int) -> None:
    """Let a child process that has just begun run on any core that this process might use at its start."""
    if _allowed:
        # The child may have ended already.
        with suppress(OSError):
            os.sched_setaffinity(pid, _allowed)
