"""How fast somebody may go, over all processes.

The generic cell rate algorithm of ITU-T I.371 (a leaky bucket kept in one moment of time), by the database's clock.
"""

import math
import os
import threading
import time
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db import models, transaction

from database.clock import database_now

LONGEST_WAIT = 5.0
_SHARE_SECONDS = 0.1


class TooSoon(Exception):
    """Nothing was taken. `seconds`: until the same is worth asking for again."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"{seconds:.3f} s too soon")
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Rate:
    """At most t times `per_second` plus `burst` units in any t seconds. A `burst` is at least 1."""

    per_second: float
    burst: int

    def time_of(self, units: int) -> timedelta:
        """How long so many units take, rounded up to what the database can keep."""
        return timedelta(microseconds=math.ceil(units * 1_000_000 / self.per_second))


class Pace(models.Model):
    """What is spent of a rate: `free_at` is the moment at which everything granted so far would be used up."""

    key = models.CharField(max_length=80, primary_key=True, help_text="source:… or connection:…")
    free_at = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.key

    @staticmethod
    def take(key: str, units: int, rate: Rate, most_wait: float) -> float:
        """Grant `units`, at most a burst, and return the seconds after which they may be spent.

        In a short transaction of its own, one after the other over all processes. `TooSoon` where it would be more
        than `most_wait` seconds, which are at most `LONGEST_WAIT`.
        """
        burst = rate.time_of(rate.burst)
        with transaction.atomic(durable=True):
            free_at, now = Pace._locked(key)
            # Never further ahead than this rate can be: after a higher limit, or a step of the clock.
            begins = min(max(free_at, now), now + burst + timedelta(seconds=LONGEST_WAIT))
            ends = begins + rate.time_of(units)
            wait = max(0.0, (ends - burst - now).total_seconds())
            if wait > most_wait:
                raise TooSoon(wait)
            Pace.objects.filter(pk=key).update(free_at=ends)
        return wait

    @staticmethod
    def _locked(key: str) -> tuple[datetime, datetime]:
        """The row, locked, and the moment: read after the lock, so that no wait for it makes the moment old."""
        row = Pace.objects.filter(pk=key)
        if not row.select_for_update().values_list("key").first():
            Pace.objects.bulk_create([Pace(key=key, free_at=database_now())], ignore_conflicts=True)
            row.select_for_update().values_list("key").first()
        free_at, now = row.values_list("free_at", database_now()).get()
        return free_at, now


class Share:
    """What this process took of a rate and has not spent yet: about 100 ms worth at once, so that a high rate costs
    few statements.

    It takes as much as it lately spent in that time, and what is not spent by then is lost. The database grants a
    burst that is smaller by the largest share: units that are spent late never add up to more than the whole burst.
    """

    def __init__(self, key: str, rate: Rate) -> None:
        self.rate = rate
        self._key = key
        self._lock = threading.Lock()
        self._most = max(1, min(int(rate.per_second * _SHARE_SECONDS), rate.burst // 2))
        self._granted_rate = replace(rate, burst=rate.burst - self._most) if self._most > 1 else rate
        self._lifetime = self._most / rate.per_second if self._most > 1 else 0.0
        self._size, self._left = 1, 0
        self._begins = self._ends = self._opens = 0.0  # by this process's monotonic clock

    def turn(self, most_wait: float) -> float:
        """Spend one unit after the seconds that are returned; `TooSoon` where they would be more than `most_wait`."""
        with self._lock:
            if not self._left or time.monotonic() >= self._ends:
                self._take(most_wait)
            wait = max(0.0, self._begins - time.monotonic())
            if wait > most_wait:
                raise TooSoon(wait)
            self._left -= 1
            return wait

    def _take(self, most_wait: float) -> None:
        asked = time.monotonic()
        if self._opens - asked > most_wait:  # refused before, and time only moves on: no statement
            raise TooSoon(self._opens - asked)
        size = self._wanted(asked)
        try:
            wait = Pace.take(self._key, size, self._granted_rate, most_wait)
        except TooSoon as refusal:
            # Asking for less next time, lest those who ask for one unit are always first.
            self._size, self._left = max(1, size // 2), 0
            sooner = (size - self._size) / self.rate.per_second
            self._opens = asked + refusal.seconds - sooner
            raise TooSoon(max(0.0, refusal.seconds - sooner)) from None
        self._size = self._left = size
        self._begins = time.monotonic() + wait
        self._ends = asked + wait + self._lifetime

    def _wanted(self, now: float) -> int:
        """Twice as much where the last share was not enough for its time, what was spent where it was too much."""
        if self._left:
            return max(1, self._size - self._left)
        return min(2 * self._size, self._most) if now < self._ends else self._size


_shares: dict[str, Share] = {}


def take_turn(key: str, rate: Rate, most_wait: float) -> float:
    """One unit of a rate: the seconds after which it may be spent, 0 for now.

    `TooSoon` where that would be more than `most_wait`; nothing is taken then.
    """
    share = _shares.get(key)
    if share is None or share.rate != rate:
        share = _shares[key] = Share(key, rate)
    return share.turn(min(most_wait, LONGEST_WAIT))


def forget_shares() -> None:
    """Give up what this process holds: a forked child must not spend what its parent spends."""
    _shares.clear()


os.register_at_fork(after_in_child=forget_shares)
