"""What this process has read and uses for a while, shared by its threads."""

import threading
from collections.abc import Callable
from functools import update_wrapper
from time import monotonic
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_GOOD = 0.75  # of its time: afterwards it is read anew


class _Value(Generic[T]):
    """What was read, from when on somebody should read it again, and until when it may be used. `is_read_anew`:
    somebody does.
    """

    __slots__ = ("is_read_anew", "read_from", "until", "value")

    def __init__(self, value: T, read_at: float, seconds: float) -> None:
        self.value, self.until = value, read_at + seconds
        self.read_from = read_at + seconds * _GOOD
        self.is_read_anew = False


class Known(Generic[P, T]):
    """What `read` gives for these arguments, never older than `seconds`.

    When three quarters of that are over, the first thread that asks reads it anew, and the others go on with what is
    known. Nobody waits for another thread, which may wait for a connection to the database that this one holds: who
    finds nothing that he may use reads for himself.
    """

    def __init__(self, read: Callable[P, T], seconds: float, most: int) -> None:
        self._read, self._seconds, self._most = read, seconds, most
        self._lock = threading.Lock()
        self._values: dict[tuple[object, ...], _Value[T]] = {}
        update_wrapper(self, read)

    def __call__(self, *key: P.args, **none: P.kwargs) -> T:
        """Takes its arguments by position."""
        found = self._values.get(key)
        now = monotonic()
        if found is None or now >= found.until:
            return self._read_anew(found, *key, **none)
        if now >= found.read_from and self._is_first(found):
            return self._read_anew(found, *key, **none)
        return found.value

    def forget(self) -> None:
        """Whoever asks from now on gets what was read later than this, be it by another thread that is at it now."""
        self._values = {}

    def _is_first(self, found: _Value[T]) -> bool:
        with self._lock:
            is_first = not found.is_read_anew
            found.is_read_anew = True
        return is_first

    def _read_anew(self, found: _Value[T] | None, *key: P.args, **none: P.kwargs) -> T:
        values, began = self._values, monotonic()
        try:
            value = self._read(*key, **none)
        except BaseException:
            if found is not None:
                found.is_read_anew = False
            raise
        self._keep(values, key, _Value(value, began, self._seconds))
        return value

    def _keep(
        self, values: dict[tuple[object, ...], _Value[T]], key: tuple[object, ...], mine: _Value[T]
    ) -> None:
        """In vain where all was forgotten meanwhile, or somebody began later and was quicker."""
        with self._lock:
            other = values.get(key)
            if other is None and len(values) >= self._most:
                values.clear()
            if other is None or other.until <= mine.until:
                values[key] = mine


def known(seconds: float, most: int = 1) -> Callable[[Callable[P, T]], Known[P, T]]:
    """A function of which at most so many results are known at once."""
    return lambda read: Known(read, seconds, most)
