"""Threads for tests: run work in parallel, and wait for a condition."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connection


def in_threads(work: Callable[[int], Any], threads: int = 8) -> list[Any]:
    def one(number: int) -> Any:
        try:
            return work(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, range(threads)))


def wait_until(holds: Callable[[], bool]) -> None:
    ended = threading.Event()
    for _ in range(60_000):
        if holds():
            return
        ended.wait(0.001)
    raise AssertionError("the condition did not become true in time")
