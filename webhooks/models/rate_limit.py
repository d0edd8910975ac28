"""Rate limits over all processes.

The generic cell rate algorithm of ITU-T I.371 (a leaky bucket stored as one point in time), by the database's clock.
"""

import math
import os
import threading
import time
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db import models, transaction

from database.clock import database_now

MAX_WAIT = 5.0
_QUOTA_SECONDS = 0.1


class RateLimitExceeded(Exception):
    """The rate limit is exceeded and nothing was granted. `seconds`: the wait until a new attempt can succeed."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"{seconds:.3f} s too soon")
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most t times `per_second` plus `burst` units in any t seconds. A `burst` is at least 1."""

    per_second: float
    burst: int

    def duration_of(self, units: int) -> timedelta:
        """Return the time that `units` take at this rate, rounded up to the database's precision, a microsecond."""
        return timedelta(microseconds=math.ceil(units * 1_000_000 / self.per_second))


class RateLimitState(models.Model):
    """The use of one rate limit. `free_at` is the time at which everything granted so far will be used up."""

    key = models.CharField(max_length=80, primary_key=True, help_text="source:…, handshake:… or connection:…")
    free_at = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.key

    @staticmethod
    def spend(key: str, units: int, rate: RateLimit, max_wait: float) -> float:
        """Grant `units`, at most a burst, and return the seconds to wait before they are used.

        Runs in a short transaction of its own that locks the row. Raises RateLimitExceeded, having granted nothing, if
        the wait would be longer than `max_wait` seconds, at most `MAX_WAIT`.
        """
        burst = rate.duration_of(rate.burst)
        # Durable, because inside another transaction the row would stay locked until that one ends.
        with transaction.atomic(durable=True):
            free_at, now = RateLimitState._lock_row(key)
            # A lower limit before, or a step of the clock, may have put the stored time too far ahead.
            begins = min(max(free_at, now), now + burst + timedelta(seconds=MAX_WAIT))
            ends = begins + rate.duration_of(units)
            wait = max(0.0, (ends - burst - now).total_seconds())
            if wait > max_wait:
                raise RateLimitExceeded(wait)
            RateLimitState.objects.filter(pk=key).update(free_at=ends)
        return wait

    @staticmethod
    def _lock_row(key: str) -> tuple[datetime, datetime]:
        """Lock the row and return its `free_at` and the database's time, read after the wait for the lock."""
        row = RateLimitState.objects.filter(pk=key)
        if not row.select_for_update().values_list("key").first():
            # Another process may insert the row at the same moment; both lock the one that exists then.
            RateLimitState.objects.bulk_create(
                [RateLimitState(key=key, free_at=database_now())], ignore_conflicts=True
            )
            row.select_for_update().values_list("key").first()
        free_at, now = row.values_list("free_at", database_now()).get()
        return free_at, now


class LocalQuota:
    """Units of a rate limit that this process has fetched but not spent: about 100 ms worth at a time, so that a high
    rate needs few statements.

    It fetches as many units as it spent in the last such period, and units that are not spent in time expire. The
    database grants a burst that is smaller by the largest quota, so units spent late never exceed the whole burst.
    """

    def __init__(self, key: str, rate: RateLimit) -> None:
        self.rate = rate
        self._key = key
        self._lock = threading.Lock()
        # At most half a burst, because the database grants the burst less one quota.
        self._max_size = max(1, min(int(rate.per_second * _QUOTA_SECONDS), rate.burst // 2))
        self._granted_rate = replace(rate, burst=rate.burst - self._max_size) if self._max_size > 1 else rate
        self._lifetime = self._max_size / rate.per_second if self._max_size > 1 else 0.0
        self._size, self._left = 1, 0
        # These three are times of this process's monotonic clock.
        self._begins = self._ends = self._opens = 0.0

    def spend_one(self, max_wait: float) -> float:
        """Spend one unit and return the seconds to wait before it is used. Raises RateLimitExceeded, having spent
        nothing, if the wait would be longer than `max_wait` seconds.
        """
        with self._lock:
            if not self._left or time.monotonic() >= self._ends:
                self._fetch_quota(max_wait)
            wait = max(0.0, self._begins - time.monotonic())
            if wait > max_wait:
                raise RateLimitExceeded(wait)
            self._left -= 1
            return wait

    def _fetch_quota(self, max_wait: float) -> None:
        now = time.monotonic()
        # Refused a moment ago, and it is still too soon: no statement is needed to refuse again.
        if self._opens - now > max_wait:
            raise RateLimitExceeded(self._opens - now)
        size = self._next_size(now)
        try:
            wait = RateLimitState.spend(self._key, size, self._granted_rate, max_wait)
        except RateLimitExceeded as refusal:
            # Ask for fewer next time: otherwise processes that ask for one unit would always be served first.
            self._size, self._left = max(1, size // 2), 0
            retry_in = (size - self._size) / self.rate.per_second
            self._opens = now + refusal.seconds - retry_in
            raise RateLimitExceeded(max(0.0, refusal.seconds - retry_in)) from None
        self._size = self._left = size
        self._begins = time.monotonic() + wait
        self._ends = now + wait + self._lifetime

    def _next_size(self, now: float) -> int:
        """Return the units to fetch: twice the last quota if it was used up in time, otherwise what was spent of it."""
        if self._left:
            return max(1, self._size - self._left)
        return min(2 * self._size, self._max_size) if now < self._ends else self._size


_quotas: dict[str, LocalQuota] = {}


def reserve_turn(key: str, rate: RateLimit, max_wait: float) -> float:
    """Reserve one unit and return the seconds to wait before it is used, 0 for none.

    Raises RateLimitExceeded, having reserved nothing, if the wait would be longer than `max_wait` seconds.
    """
    share = _quotas.get(key)
    if share is None or share.rate != rate:
        share = _quotas[key] = LocalQuota(key, rate)
    return share.spend_one(min(max_wait, MAX_WAIT))


def forget_quotas() -> None:
    """Drop the units that this process has fetched. A forked child must not spend what its parent spends."""
    _quotas.clear()


os.register_at_fork(after_in_child=forget_quotas)
