"""What came from each source in a day, hour by hour, from what the worker counted of its events."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Sum
from django.utils import timezone
from django.utils.safestring import SafeString

from integration_hub.console.charts import line
from integration_hub.console.sparks import beside, spark
from sync.models import EventCount
from sync.models.counts import HOUR, hour_of

SHOWN = 24


@dataclass(frozen=True, slots=True)
class SourceDay:
    """How many events came in this hour and the 23 before, and those of each hour that is over as a line."""

    number: int
    points: str

    @property
    def words(self) -> SafeString:
        """The figure with its picture."""
        return beside(f"{self.number:,}", spark(self.points))


def with_days(sources: Iterable[Any]) -> list[Any]:
    """Each with its `day`: one statement for all."""
    rows = list(sources)
    current = hour_of(timezone.now())
    counted: dict[int, Counter[datetime]] = {each.pk: Counter() for each in rows}
    found = EventCount.objects.filter(source__in=list(counted), hour__gt=current - SHOWN * HOUR).order_by()
    for source, hour, number in found.values_list("source_id", "hour").annotate(Sum("number")):
        counted[source][hour] = number
    for each in rows:
        each.day = _day(counted[each.pk], current)
    return rows


def _day(hours: Mapping[datetime, int], current: datetime) -> SourceDay:
    over = [hours.get(current - ago * HOUR, 0) for ago in reversed(range(1, SHOWN))]
    return SourceDay(sum(hours.values()), line(over) if any(over) else "")
