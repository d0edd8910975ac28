"""Hours, and which of them are not as they were counted."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from sync.models import CountMark

HOUR = timedelta(hours=1)


def hour_of(moment: datetime) -> datetime:
    """When the hour began in which it lies."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def mark_hours(moments: Iterable[datetime]) -> None:
    """What was counted of the hours of these moments changes with this transaction. No statement for none.

    A mark is a row of its own, so that nobody waits for anybody.
    """
    hours = sorted({hour_of(each) for each in moments})
    if hours:
        CountMark.objects.bulk_create([CountMark(hour=each) for each in hours])
