"""What this process has read and uses for a while, shared by its threads."""

import threading
from collections.abc import Callable
from functools import update_wrapper
from time import monotonic
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_REFRESH_SHARE = 0.75  # of its time: afterwards it is read anew


class _CachedValue(Generic[T]):
    """What was read, from when on somebody should read it again, and until when it may be used. `is_read_anew`:
    somebody does.
    """

    __slots__ = ("expires_at", "is_being_refreshed", "refresh_at", "value")

    def __init__(self, value: T, read_at: float, seconds: float) -> None:
        self.value, self.expires_at = value, read_at + seconds
        self.refresh_at = read_at + seconds * _REFRESH_SHARE
        self.is_being_refreshed = False


class CachedRead(Generic[P, T]):
    """What `read` gives for these arguments, never older than `seconds`.

    When three quarters of that are over, the first thread that asks reads it anew, and the others go on with what is
    known. Nobody waits for another thread, which may wait for a connection to the database that this one holds: who
    finds nothing that he may use reads for himself.
    """

    def __init__(self, read: Callable[P, T], seconds: float, max_entries: int) -> None:
        self._read, self._seconds, self._max_entries = read, seconds, max_entries
        self._lock = threading.Lock()
        self._values: dict[tuple[object, ...], _CachedValue[T]] = {}
        update_wrapper(self, read)

    def __call__(self, *key: P.args, **none: P.kwargs) -> T:
        """Takes its arguments by position."""
        found = self._values.get(key)
        now = monotonic()
        if found is None or now >= found.expires_at:
            return self._read_and_store(found, *key, **none)
        if now >= found.refresh_at and self._claims_refresh(found):
            return self._read_and_store(found, *key, **none)
        return found.value

    def invalidate(self) -> None:
        """Whoever asks from now on gets what was read later than this, be it by another thread that is at it now."""
        self._values = {}

    def _claims_refresh(self, found: _CachedValue[T]) -> bool:
        with self._lock:
            is_first = not found.is_being_refreshed
            found.is_being_refreshed = True
        return is_first

    def _read_and_store(self, found: _CachedValue[T] | None, *key: P.args, **none: P.kwargs) -> T:
        values, began = self._values, monotonic()
        try:
            value = self._read(*key, **none)
        except BaseException:
            if found is not None:
                found.is_being_refreshed = False
            raise
        self._store_if_newer(values, key, _CachedValue(value, began, self._seconds))
        return value

    def _store_if_newer(
        self,
        values: dict[tuple[object, ...], _CachedValue[T]],
        key: tuple[object, ...],
        mine: _CachedValue[T],
    ) -> None:
        """In vain where all was forgotten meanwhile, or somebody began later and was quicker."""
        with self._lock:
            other = values.get(key)
            if other is None and len(values) >= self._max_entries:
                values.clear()
            if other is None or other.expires_at <= mine.expires_at:
                values[key] = mine


def cached_read(seconds: float, max_entries: int = 1) -> Callable[[Callable[P, T]], CachedRead[P, T]]:
    """A function of which at most so many results are known at once."""
    return lambda read: CachedRead(read, seconds, max_entries)
