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
_KNOWN = Statement("SELECT name, due_at, {now} FROM sync_periodic")
_MOVE = Statement("UPDATE sync_periodic SET due_at = %s WHERE name = %s AND due_at = %s")
_END = Statement("UPDATE sync_periodic SET ended_at = %s WHERE name = %s")
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
    return [work.name for work in begin_due(works) if run_begun(work)]


def begin_due(works: tuple[Work, ...]) -> Iterator[Work]:
    """Begin what is due and nobody else has begun, each when it is asked for; whoever asks runs it by `run_begun`."""
    known = {
        name: (parse_optional_timestamp(due_at), parse_optional_timestamp(now))
        for name, due_at, now in _KNOWN.fetch_all()
    }
    for work in works:
        if _is_begun(work, *known.get(work.name, (None, None))):
            yield work


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
    return bool(_MOVE.execute(work.schedule.after(now), work.name, due_at))


def run_begun(work: Work) -> bool:
    """Run what was begun, and note its end; False where it failed, which is logged."""
    try:
        work.run()
    except Exception:
        logger.exception("%s failed; it is tried again at its next time", work.name)
        return False
    _END.execute(timezone.now(), work.name)
    return True
