"""Load what the page of a failure group says of its open failures: how many, when they failed, who is affected."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.utils import timezone

from console.ui.charts import HourChart, HourCounts, build_hour_chart
from sync.models import FailureGroup
from sync.models.failure import dead_deliveries_of
from webhooks.models import Event

# Beyond that, a page says what it found among the newest ones.
MAX_READ = 5_000
MAX_ENTITIES = 10
MAX_BARS = 40
_BAR_WIDTHS = tuple(
    timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 3 * 60, 6 * 60, 24 * 60, 7 * 24 * 60)
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class AffectedEntity:
    """An entity with open failures in the group: how many, and the newest of them."""

    entity_type: str
    entity_id: str
    number: int
    event: Event
    failed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Incident:
    """The open failures of a group. `is_cut`: all but `number` is of the newest `MAX_READ` failures only."""

    number: int
    is_cut: bool
    began_at: datetime
    chart: HourChart | None
    bar_seconds: float
    entities: Sequence[AffectedEntity]
    entities_by_type: Mapping[str, int]

    @property
    def entity_number(self) -> int:
        return sum(self.entities_by_type.values())


def load_incident(group: FailureGroup) -> Incident:
    """Load the open failures of a group by two statements, of which one reads at most `MAX_READ` rows of an index;
    one more for a group that has more.
    """
    dead = dead_deliveries_of(group)
    newest = dead.order_by("-settled_at", "-pk").values_list(
        "settled_at", "entity_type", "entity_id", "event_id"
    )
    rows = list(newest[: MAX_READ + 1])
    is_cut = len(rows) > MAX_READ
    times = [at for at, *_ in rows[:MAX_READ] if at is not None]
    began_at = min(times, default=group.first_at)
    if is_cut:
        began_at = dead.order_by("settled_at").values_list("settled_at", flat=True).first() or began_at
    width, chart = _build_chart(times, timezone.now())
    counts = Counter((entity_type, entity_id) for _at, entity_type, entity_id, _event in rows[:MAX_READ])
    return Incident(
        number=max(len(rows), group.number) if is_cut else len(rows),
        is_cut=is_cut,
        began_at=began_at,
        chart=chart,
        bar_seconds=width.total_seconds(),
        entities=_load_entities(rows[:MAX_READ], counts),
        entities_by_type=dict(
            Counter(entity_type for entity_type, _id in counts)
        ),  # templates read a Counter by key
    )


def _load_entities(
    rows: Iterable[tuple[datetime | None, str, str, int]], counts: Mapping[tuple[str, str], int]
) -> list[AffectedEntity]:
    """Return the entities that failed last, each with its newest event. `rows`: newest first."""
    newest: dict[tuple[str, str], tuple[datetime | None, int]] = {}
    for at, entity_type, entity_id, event in rows:
        if len(newest) == MAX_ENTITIES:
            break
        newest.setdefault((entity_type, entity_id), (at, event))
    events = Event.objects.select_related("source").in_bulk([event for _at, event in newest.values()])
    return [
        AffectedEntity(*key, counts[key], events[event], at)
        for key, (at, event) in newest.items()
        if event in events
    ]


def _build_chart(times: Sequence[datetime], now: datetime) -> tuple[timedelta, HourChart | None]:
    """Return the width of a bar, and the failures from the first of them until now as bars; no chart without any."""
    if not times:
        return timedelta(), None
    first = min(times)
    last = max(now, *times)
    width = next((width for width in _BAR_WIDTHS if last - first < width * (MAX_BARS - 1)), _BAR_WIDTHS[-1])
    place = (first - _EPOCH) // width
    bars = min((last - _EPOCH) // width - place + 1, MAX_BARS)
    counts = Counter(min((at - _EPOCH) // width - place, bars - 1) for at in times)
    hours = [HourCounts(_EPOCH + width * (place + step), failed=counts[step]) for step in range(bars)]
    return width, build_hour_chart(hours)
