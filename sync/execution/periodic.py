"""Work that the clock starts, in one table. Every worker looks; a row in the database lets one of them begin."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from django.utils import timezone

from database.statement import Statement
from database.values import parse_optional_timestamp
from sync.models import Periodic

logger = logging.getLogger("hub.periodic")

# Asked by every worker each second.
_READ_SCHEDULE = Statement("SELECT name, due_at, {now} FROM sync_periodic")
_CLAIM_WORK = Statement("UPDATE sync_periodic SET due_at = %s WHERE name = %s AND due_at = %s")
_RECORD_END = Statement("UPDATE sync_periodic SET ended_at = %s WHERE name = %s")
_TOLERANCE = timedelta(
    minutes=1
)  # looks that overlap, and a new work's first time, which a host's clock says


@dataclass(frozen=True, slots=True)
class EverySeconds:
    """So many seconds after it last began."""

    seconds: float

    def next_after(self, moment: datetime) -> datetime:
        return moment + timedelta(seconds=self.seconds)


@dataclass(frozen=True, slots=True)
class DailyAt:
    """Once a day at that time, in UTC."""

    at: time

    def next_after(self, moment: datetime) -> datetime:
        today = datetime.combine(moment.astimezone(UTC), self.at, UTC)
        return today if today > moment else today + timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ScheduledWork:
    """`run` begins at most once for each time that is due: a worker that dies in it leaves it to the next time."""

    name: str
    schedule: EverySeconds | DailyAt
    run: Callable[[], object]


def run_due_work(works: tuple[ScheduledWork, ...]) -> list[str]:
    """Run what is due and nobody else has begun; the names of what ran to its end. A failure is logged."""
    return [work.name for work in begin_due_work(works) if run_begun_work(work)]


def begin_due_work(works: tuple[ScheduledWork, ...]) -> Iterator[ScheduledWork]:
    """Begin what is due and nobody else has begun, each when it is asked for. It is run by `run_begun_work`."""
    known = {
        name: (parse_optional_timestamp(due_at), parse_optional_timestamp(now))
        for name, due_at, now in _READ_SCHEDULE.fetch_all()
    }
    for work in works:
        if _claim_work(work, *known.get(work.name, (None, None))):
            yield work


def _claim_work(work: ScheduledWork, due_at: datetime | None, now: datetime | None) -> bool:
    """Whether it is due and this process is the one that moved it on. What is due later than a whole turn from now was
    put off by a clock that was ahead: it is due.
    """
    if due_at is None or now is None:
        Periodic.objects.get_or_create(
            name=work.name, defaults={"due_at": work.schedule.next_after(timezone.now())}
        )
        return False
    if now < due_at <= work.schedule.next_after(now + _TOLERANCE):
        return False
    return bool(_CLAIM_WORK.execute(work.schedule.next_after(now), work.name, due_at))


def run_begun_work(work: ScheduledWork) -> bool:
    """Run what was begun, and note its end; False where it failed, which is logged."""
    try:
        work.run()
    except Exception:
        logger.exception("%s failed; it is tried again at its next time", work.name)
        return False
    _RECORD_END.execute(timezone.now(), work.name)
    return True
