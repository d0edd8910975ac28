"""Objects that live in a thread of their own, used from another as if they were here."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
_PLAIN = (str, bytes, int, float, bool, list, tuple, dict, type(None))


class Thread:
    """Runs what it is given, one thing after the other, and waits for each."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)

    def run(self, work: Callable[..., T], *arguments: Any, **named: Any) -> T:
        return self._pool.submit(work, *arguments, **named).result()

    def end(self) -> None:
        self._pool.shutdown()


class Apart:
    """Stands for an object of that thread: attributes and calls are those of the object, there."""

    def __init__(self, thread: Thread, held: Any) -> None:
        self.__dict__.update(thread=thread, held=held)

    def __getattr__(self, name: str) -> Any:
        return self._told(self.thread.run(getattr, self.held, name))

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._told(self.thread.run(self.held, *arguments, **named))

    def _told(self, value: Any) -> Any:
        return value if isinstance(value, _PLAIN) else Apart(self.thread, value)
