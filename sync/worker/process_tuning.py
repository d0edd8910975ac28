"""Settings of a process that save CPU: one core, and a garbage collector that leaves loaded modules alone.

The threads of a process take turns at the interpreter's lock. A thread releases it for each statement, which takes
microseconds. On several cores another thread is woken for it at once, on another core, and the first waits for
milliseconds until it has the lock back; on one core it mostly has it back before anybody else runs. Measured on two
cores with 16 senders on SQLite: a third less CPU an event, and 1.4 to 1.6 times as many a second.

The kernel does not move a process that is bound to a core, so this looks once a second whether another core would give
it more.
"""

import gc
import logging
import os
import random
import threading
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from django.conf import settings

logger = logging.getLogger("hub.cores")

Busy = Mapping[
    int, tuple[float, float]
]  # by core: seconds that it was at rest, and all, since the machine began

LOOK_SECONDS = 1.0
MARGIN = 0.25  # of a core that another one must give more
_AT_REST = 0.05  # of a core: who needs less is well wherever he is
_STAT = Path("/proc/stat")
_THREADS = Path("/proc/self/task")


def keep_to_one_core() -> None:
    """From now on, with all threads; a thread looks after it. Nothing where KEEP_TO_ONE_CORE is off, where there is one
    core only, or where the system does not do such things.
    """
    allowed = allowed_cores()
    if settings.KEEP_TO_ONE_CORE and len(allowed) > 1 and read_busy(allowed):
        threading.Thread(target=_look_after, args=(allowed,), name="core", daemon=True).start()


def allowed_cores() -> frozenset[int]:
    """Where this thread may run; none where the system does not tell."""
    try:
        return frozenset(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        return frozenset()


def set_free(pid: int) -> None:
    """Let a child that has just begun run on any core, as this process might have at its start."""
    if _ours:
        with suppress(OSError):  # it has ended already
            os.sched_setaffinity(pid, _ours)


_ours: frozenset[int] = frozenset()  # all that were allowed, once the process keeps to one


def _look_after(allowed: frozenset[int]) -> None:
    global _ours  # noqa: PLW0603 - one a process
    _ours = allowed
    core = None
    busy, used, at = read_busy(allowed), time.process_time(), time.monotonic()
    while True:
        time.sleep(LOOK_SECONDS * random.uniform(0.75, 1.25))  # noqa: S311 - not in step with others
        before, busy = busy, read_busy(allowed)
        own = time.process_time() - used, time.monotonic() - at
        used, at = used + own[0], at + own[1]
        wanted = choose(core, idle_between(before, busy), own[0] / own[1])
        if core is None or random.random() < 0.5:  # noqa: S311 - of two that share a core, only one should go
            core = wanted
        # Again and again: a thread may have begun another one while it was bound itself.
        if core is not None and not bind(core):
            return


def choose(core: int | None, idle: Mapping[int, float], own: float) -> int | None:
    """The core to be on, by how much of each was at rest lately and how much of one this process used.

    `core`: where it is bound, if it is. None: nowhere yet, and there is no need.
    """
    if own < _AT_REST or not idle:
        return core
    most = max(idle.values())
    best = random.choice([each for each, rest in idle.items() if rest > most - 0.1])  # noqa: S311 - spreads
    if core is None or idle[best] > idle.get(core, 0.0) + own + MARGIN:
        return best
    return core


def bind(core: int) -> bool:
    """Every thread of this process, and with them those that they will begin; whether the system let it."""
    try:
        for each in _THREADS.iterdir():
            with suppress(ProcessLookupError):
                os.sched_setaffinity(int(each.name), {core})
    except OSError as error:
        logger.warning("this process cannot be bound to core %s: %s", core, error.strerror)
        return False
    return True


def read_busy(cores: Collection[int]) -> Busy:
    """Nothing where the system does not tell."""
    try:
        lines = [line.split() for line in _STAT.read_text().splitlines() if line.startswith("cpu")]
        found = {line[0][3:]: [int(each) / 100 for each in line[1:9]] for line in lines}
    except (OSError, ValueError):
        return {}
    # user, nice, system, idle, waiting for a disk, interrupts, soft ones, stolen by another machine
    return {
        core: (times[3] + times[4], sum(times))
        for core in cores
        if (times := found.get(str(core))) is not None
    }


def idle_between(before: Busy, after: Busy) -> dict[int, float]:
    """How much of each core was at rest meanwhile, from 0 to 1."""
    found = {}
    for core in before.keys() & after.keys():
        rest, whole = (late - early for early, late in zip(before[core], after[core], strict=True))
        if whole > 0:
            found[core] = max(0.0, min(1.0, rest / whole))
    return found


_NEW_ONES = 10_000  # objects between two looks at the new ones; Python's 700 are made by every webhook


def keep_what_is_loaded() -> None:
    """At the end of a start. The collector took a tenth of the CPU of a webhook."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_ONES)
