"""Run periodic work. Every worker checks the schedule; a compare-and-set on a row lets one of them begin."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from django.utils import timezone

from database.statement import Statement
from database.values import parse_optional_timestamp
from sync.models import PeriodicTask

logger = logging.getLogger("hub.periodic")

# Every worker runs it each second.
_READ_SCHEDULE = Statement("SELECT name, due_at, {now} FROM sync_periodictask")
_CLAIM_WORK = Statement("UPDATE sync_periodictask SET due_at = %s WHERE name = %s AND due_at = %s")
_RECORD_END = Statement("UPDATE sync_periodictask SET ended_at = %s WHERE name = %s")
# Polls may overlap, and the first due time of new work comes from a host's clock.
_TOLERANCE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class EverySeconds:
    """An interval in seconds, counted from the last start."""

    seconds: float

    def next_after(self, moment: datetime) -> datetime:
        return moment + timedelta(seconds=self.seconds)


@dataclass(frozen=True, slots=True)
class DailyAt:
    """A time of day, in UTC."""

    at: time

    def next_after(self, moment: datetime) -> datetime:
        today = datetime.combine(moment.astimezone(UTC), self.at, UTC)
        return today if today > moment else today + timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ScheduledWork:
    """A function and its schedule. It starts at most once for each due time: after a crash it runs at the next one."""

    name: str
    schedule: EverySeconds | DailyAt
    run: Callable[[], object]


def run_due_work(works: tuple[ScheduledWork, ...]) -> list[str]:
    """Run due work that no other process has begun. Returns the names of what succeeded; logs failures."""
    return [work.name for work in begin_due_work(works) if run_begun_work(work)]


def begin_due_work(works: tuple[ScheduledWork, ...]) -> Iterator[ScheduledWork]:
    """Claim work that is due, one at a time as the caller iterates. The caller runs each by `run_begun_work`."""
    known = {
        name: (parse_optional_timestamp(due_at), parse_optional_timestamp(now))
        for name, due_at, now in _READ_SCHEDULE.fetch_all()
    }
    for work in works:
        if _claim_work(work, *known.get(work.name, (None, None))):
            yield work


def _claim_work(work: ScheduledWork, due_at: datetime | None, now: datetime | None) -> bool:
    """Move the due time on, by compare-and-set. Returns False if the work is not due, or another process was first.

    A due time later than one interval from now was set by a clock that ran ahead: the work is due.
    """
    if due_at is None or now is None:
        # New work does not begin at once: its first due time is the next one of its schedule.
        PeriodicTask.objects.get_or_create(
            name=work.name, defaults={"due_at": work.schedule.next_after(timezone.now())}
        )
        return False
    if now < due_at <= work.schedule.next_after(now + _TOLERANCE):
        return False
    # Counted from now: for due times that were missed, it runs once.
    return bool(_CLAIM_WORK.execute(work.schedule.next_after(now), work.name, due_at))


def run_begun_work(work: ScheduledWork) -> bool:
    """Run claimed work and record its end. Returns False if it failed; the failure is logged."""
    try:
        work.run()
    except Exception:
        logger.exception("%s failed; it will be retried at its next scheduled time", work.name)
        return False
    _RECORD_END.execute(timezone.now(), work.name)
    return True
