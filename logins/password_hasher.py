"""Hash passwords one at a time in each process, on a thread of low priority, so that webhooks do not wait for it.

A hash takes a third of a second of CPU, on purpose.
"""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.db import connection

_NICENESS = 10
_executors: dict[int, ThreadPoolExecutor] = {}
_lock = threading.Lock()


class LowPriorityHasher(PBKDF2PasswordHasher):
    """Django's PBKDF2 hasher, for every password that the hub checks or sets."""

    def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
        # A transaction must not wait for the hashes of others: on SQLite, all writers would wait for it.
        if connection.in_atomic_block:
            return super().encode(password, salt, iterations)
        return _process_executor().submit(super().encode, password, salt, iterations).result()


def _process_executor() -> ThreadPoolExecutor:
    """Return the executor of this process. A forked child gets its own: threads do not survive a fork."""
    with _lock:
        pid = os.getpid()
        if pid not in _executors:
            _executors[pid] = ThreadPoolExecutor(1, "password-hashes", initializer=_lower_priority)
        return _executors[pid]


def _lower_priority() -> None:
    # On Linux alone, priorities are of threads.
    if sys.platform == "linux":
        with suppress(OSError):
            thread = threading.get_native_id()
            niceness = os.getpriority(os.PRIO_PROCESS, thread)
            os.setpriority(os.PRIO_PROCESS, thread, max(niceness, _NICENESS))
