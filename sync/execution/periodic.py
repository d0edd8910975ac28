"""Work that the clock starts, in one table. Every worker looks; a row in the database lets one of them begin."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from django.utils import timezone

from database.statement import Statement
from database.values import as_time
from sync.models import Periodic

logger = logging.getLogger("hub.periodic")

# Asked by six threads of a worker each second.
_KNOWN = Statement("SELECT name, due_at, {now} FROM sync_periodic")
_APART = timedelta(minutes=1)  # looks that overlap, and a new work's first time, which a host's clock says


@dataclass(frozen=True, slots=True)
class Every:
    """So many seconds after it last began."""

    seconds: float

    def after(self, moment: datetime) -> datetime:
        return moment + timedelta(seconds=self.seconds)


@dataclass(frozen=True, slots=True)
class Daily:
    """Once a day at that time, in UTC."""

    at: time

    def after(self, moment: datetime) -> datetime:
        today = datetime.combine(moment.astimezone(UTC), self.at, UTC)
        return today if today > moment else today + timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Work:
    """`run` begins at most once for each time that is due: a worker that dies in it leaves it to the next time."""

    name: str
    schedule: Every | Daily
    run: Callable[[], object]


def run_periodic(works: tuple[Work, ...]) -> list[str]:
    """Run what is due and nobody else has begun; the names of what ran to its end. A failure is logged."""
    known = {name: (as_time(due_at), as_time(now)) for name, due_at, now in _KNOWN.rows()}
    return [
        each.name for each in works if _is_begun(each, *known.get(each.name, (None, None))) and _run(each)
    ]


def _is_begun(work: Work, due_at: datetime | None, now: datetime | None) -> bool:
    """Whether it is due and this process is the one that moved it on. What is due later than a whole turn from now was
    put off by a clock that was ahead: it is due.
    """
    if due_at is None or now is None:
        Periodic.objects.get_or_create(
            name=work.name, defaults={"due_at": work.schedule.after(timezone.now())}
        )
        return False
    if now < due_at <= work.schedule.after(now + _APART):
        return False
    moved = Periodic.objects.filter(name=work.name, due_at=due_at).update(due_at=work.schedule.after(now))
    return bool(moved)


def _run(work: Work) -> bool:
    try:
        work.run()
    except Exception:
        logger.exception("%s failed; it is tried again at its next time", work.name)
        return False
    Periodic.objects.filter(name=work.name).update(ended_at=timezone.now())
    return True
