"""How connections did lately: of the newest requests of the hub, read by their key, and never of more than those."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from audit.statements import Statement
from sync.breaking import is_of_the_system
from sync.models import Call

MOST_READ = 2_000
MOST_WAITING = 10_000
HOUR = timedelta(hours=1)

# By the index that holds only what waits; beyond so many it is not worth knowing how many more.
_WAITING = Statement(
    """SELECT identity_id, commercial_id, COUNT(*) FROM (SELECT identity_id, commercial_id FROM sync_delivery
    WHERE state IN ('pending', 'retrying') ORDER BY due_at, id LIMIT %s) w GROUP BY identity_id, commercial_id"""
)


@dataclass(frozen=True, slots=True)
class Traffic:
    """The requests of the last hour: how many, how many failed by the system's own fault, and how long they took.

    `last_success_at` may be older; None where none is among the requests that were read.
    """

    calls: int = 0
    failed: int = 0
    p50: float | None = None
    p95: float | None = None
    last_success_at: datetime | None = None

    @property
    def share(self) -> float:
        """How much of it failed, 0 to 1."""
        return self.failed / self.calls if self.calls else 0.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many deliveries wait. `is_least`: there are more than were counted."""

    number: int = 0
    is_least: bool = False


def traffic(now: datetime) -> Mapping[int, Traffic]:
    """By the connection's key, of those that were spoken to lately. One statement."""
    newest = Call.objects.order_by("-pk").values_list("connection_id", "started_at", "seconds", "error")
    rows: defaultdict[int, list[tuple[datetime, float | None, str]]] = defaultdict(list)
    for connection, started_at, seconds, error in newest[:MOST_READ]:
        rows[connection].append((started_at, seconds, error))
    return {connection: _traffic(found, now) for connection, found in rows.items()}


def _traffic(rows: Sequence[tuple[datetime, float | None, str]], now: datetime) -> Traffic:
    recent = [each for each in rows if each[0] > now - HOUR]
    took = sorted(seconds for _, seconds, _ in recent if seconds is not None)
    return Traffic(
        calls=len(recent),
        failed=sum(is_of_the_system(error) for _, _, error in recent),
        p50=_quantile(took, 0.50),
        p95=_quantile(took, 0.95),
        last_success_at=max(
            (at for at, seconds, error in rows if not error and seconds is not None), default=None
        ),
    )


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    """The nearest rank."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def waiting() -> Mapping[int, Waiting]:
    """By the connection's key: what waits for it, at either end. One statement."""
    rows = _WAITING.rows(MOST_WAITING + 1)
    is_least = sum(number for _, _, number in rows) > MOST_WAITING
    numbers: defaultdict[int, int] = defaultdict(int)
    for identity, commercial, number in rows:
        for connection in {identity, commercial}:
            numbers[connection] += number
    return defaultdict(
        lambda: Waiting(0, is_least), {key: Waiting(each, is_least) for key, each in numbers.items()}
    )
