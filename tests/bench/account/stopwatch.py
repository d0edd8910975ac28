"""A stopwatch for CPU and elapsed time of parts over all threads, without inner parts and its own cost."""

import functools
import importlib
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Spent:
    """The cost of one part so far, in seconds."""

    calls: int = 0
    cpu: float = 0.0
    wall: float = 0.0


_OURS = ("audit", "webhooks", "sync", "integration_hub")


class Stopwatch:
    """A stopwatch that wraps functions and books their time under a part. It counts from `start` on."""

    def __init__(self) -> None:
        self._parts: dict[str, Spent] = {}
        self.missing: list[str] = []
        self._running = threading.local()
        self._lock = threading.Lock()
        self._is_counting = False
        self._within = self._around = (
            0.0  # CPU that watching one call adds to its part, and to what is around it
        )

    def calibrate(self, calls: int = 20_000) -> None:
        """Measure the cost of the stopwatch itself, which is left out of the figures."""
        nothing = self.timed(lambda *_: "nothing", lambda: None)
        self.start()
        began = time.thread_time()
        for _ in range(calls):
            nothing()
        total = (time.thread_time() - began) / calls
        self._within = self.stop()["nothing"].cpu / calls
        self._around = total - self._within

    def start(self) -> None:
        """Reset all figures and start counting."""
        with self._lock:
            self._parts = {}
        self._is_counting = True

    def stop(self) -> dict[str, Spent]:
        """Stop counting. Returns the cost of each part since the start."""
        self._is_counting = False
        with self._lock:
            return dict(self._parts)

    def watch(self, part: str, dotted: str) -> None:
        """Book a function or method under a part, in every module of the product that has imported it."""
        found = _find(dotted)
        if found is None:
            self.missing.append(dotted)
            return
        owner, name, function = found
        timed = self.timed(lambda *_: part, function)
        setattr(owner, name, timed)
        for module in list(sys.modules.values()):
            if getattr(module, "__name__", "").partition(".")[0] in _OURS:
                for bound, value in list(vars(module).items()):
                    if value is function:
                        setattr(module, bound, timed)

    def timed(self, part_of: Callable[..., str], function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function wrapped so that its time is booked under the part that `part_of` returns."""

        @functools.wraps(function)
        def run(*arguments: Any, **named: Any) -> Any:
            if not self._is_counting:
                return function(*arguments, **named)
            inner, cpu, wall = self._enter()
            try:
                return function(*arguments, **named)
            finally:
                self._leave(part_of, arguments, inner, cpu, wall)

        return run

    def _enter(self) -> tuple[list[float], float, float]:
        stack = self._running.__dict__.setdefault("stack", [])
        inner = [0.0, 0.0]  # CPU and wall of the parts inside this one
        stack.append(inner)
        return inner, time.thread_time(), time.perf_counter()

    def _leave(
        self, part_of: Callable[..., str], arguments: Any, inner: list[float], cpu: float, wall: float
    ) -> None:
        cpu, wall = time.thread_time() - cpu, time.perf_counter() - wall
        stack = self._running.stack
        stack.pop()
        if stack:
            stack[-1][0] += cpu + self._around
            stack[-1][1] += wall
        part = part_of(*arguments)
        with self._lock:
            spent = self._parts.setdefault(part, Spent())
            spent.calls += 1
            spent.cpu += cpu - inner[0] - self._within
            spent.wall += wall - inner[1]


def _find(dotted: str) -> tuple[Any, str, Any] | None:
    """Return owner, name and function of a dotted name; its longest importable prefix is the module."""
    names = dotted.split(".")
    for split in range(len(names) - 1, 0, -1):
        try:
            owner: Any = importlib.import_module(".".join(names[:split]))
        except ImportError:
            continue
        for name in names[split:-1]:
            owner = getattr(owner, name, None)
        function = getattr(owner, names[-1], None)
        return (owner, names[-1], function) if function is not None else None
    return None
