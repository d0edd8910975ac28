"""Proxies of objects that live in another thread."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
_PLAIN = (str, bytes, int, float, bool, list, tuple, dict, type(None))


class Thread:
    """A thread that runs functions one after the other; the caller waits for each."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)

    def run(self, work: Callable[..., T], *arguments: Any, **named: Any) -> T:
        return self._pool.submit(work, *arguments, **named).result()

    def end(self) -> None:
        self._pool.shutdown()


class Apart:
    """A proxy of an object in that thread: attributes and calls run there."""

    def __init__(self, thread: Thread, held: Any) -> None:
        self.__dict__.update(thread=thread, held=held)

    def __getattr__(self, name: str) -> Any:
        return self._told(self.thread.run(getattr, self.held, name))

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._told(self.thread.run(self.held, *arguments, **named))

    def _told(self, value: Any) -> Any:
        return value if isinstance(value, _PLAIN) else Apart(self.thread, value)
