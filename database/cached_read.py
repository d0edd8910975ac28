"""Cache of what this process has read from the database, shared by its threads."""

import threading
from collections.abc import Callable
from functools import update_wrapper
from time import monotonic
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# After this share of its lifetime a result is read again.
_REFRESH_SHARE = 0.75


class _CachedValue(Generic[T]):
    """One cached result: the time from which it should be read again, and the time until which it may be used.

    `is_being_refreshed`: a thread is reading it again.
    """

    __slots__ = ("expires_at", "is_being_refreshed", "refresh_at", "value")

    def __init__(self, value: T, read_at: float, seconds: float) -> None:
        self.value, self.expires_at = value, read_at + seconds
        self.refresh_at = read_at + seconds * _REFRESH_SHARE
        self.is_being_refreshed = False


class CachedRead(Generic[P, T]):
    """Cache the results of a function by its arguments. No result is older than `seconds`.

    After three quarters of that time, the first thread that asks reads the value again, and the other threads keep
    using the cached value. No thread waits for another one, which may itself wait for the connection that this thread
    holds: a thread that finds no usable value reads for itself.
    """

    def __init__(self, read: Callable[P, T], seconds: float, max_entries: int) -> None:
        self._read, self._seconds, self._max_entries = read, seconds, max_entries
        self._lock = threading.Lock()
        self._values: dict[tuple[object, ...], _CachedValue[T]] = {}
        update_wrapper(self, read)

    def __call__(self, *key: P.args, **none: P.kwargs) -> T:
        """Return the result for these arguments, from the cache if it is recent. Accepts positional arguments only."""
        cached = self._values.get(key)
        now = monotonic()
        if cached is None or now >= cached.expires_at:
            return self._read_and_store(cached, *key, **none)
        if now >= cached.refresh_at and self._claims_refresh(cached):
            return self._read_and_store(cached, *key, **none)
        return cached.value

    def invalidate(self) -> None:
        """Drop all cached results. A read that has already begun, in any thread, is not stored afterwards."""
        self._values = {}

    def _claims_refresh(self, cached: _CachedValue[T]) -> bool:
        with self._lock:
            is_first = not cached.is_being_refreshed
            cached.is_being_refreshed = True
        return is_first

    def _read_and_store(self, cached: _CachedValue[T] | None, *key: P.args, **none: P.kwargs) -> T:
        # The dictionary of this moment: a result that was read before an invalidation goes into the discarded one.
        values, began = self._values, monotonic()
        try:
            value = self._read(*key, **none)
        except BaseException:
            if cached is not None:
                cached.is_being_refreshed = False
            raise
        self._store_if_newer(values, key, _CachedValue(value, began, self._seconds))
        return value

    def _store_if_newer(
        self,
        values: dict[tuple[object, ...], _CachedValue[T]],
        key: tuple[object, ...],
        new: _CachedValue[T],
    ) -> None:
        """Store a result, unless the cache was invalidated meanwhile or holds the result of a read that began later."""
        with self._lock:
            stored = values.get(key)
            if stored is None and len(values) >= self._max_entries:
                # Arguments come from outside: clearing everything bounds the memory without keeping an order of use.
                values.clear()
            if stored is None or stored.expires_at <= new.expires_at:
                values[key] = new


def cached_read(seconds: float, max_entries: int = 1) -> Callable[[Callable[P, T]], CachedRead[P, T]]:
    """Decorate a function with a `CachedRead` of at most `max_entries` results."""
    return lambda read: CachedRead(read, seconds, max_entries)
