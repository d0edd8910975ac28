"""Generator of a history: events, receipts, deliveries, attempts and calls. A seed makes it reproducible."""

from collections.abc import Iterator
from random import Random

from django.db import transaction
from django.db.models import Max

from devtools.sample_history.event_rows import HistoryRows
from devtools.sample_history.scenarios import DAY, HOUR
from sync.models import Route
from webhooks.models import Event

CHUNK_SIZE = 5_000
_BY_HOUR = (2, 1, 1, 1, 1, 2, 4, 8, 11, 12, 12, 11, 10, 11, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3)


def generate_history(
    events: int, *, now: float, days: float = 90.0, seed: int = 1, bodies: int = 500
) -> Iterator[int]:
    """Store `events` events on the existing routes, the last one at `now`. Yields the number stored after each chunk.

    In an empty database, the same seed generates the same history. The newest `bodies` events have encrypted payloads,
    the others none. Raises `LookupError` if there is no route.
    """
    routes = list(Route.objects.filter(is_enabled=True).select_related("source", "identity", "target"))
    if not routes:
        raise LookupError("there is no route for events")
    last_event = Event.objects.aggregate(last=Max("pk"))["last"] or 0
    rng = Random(f"{seed} after {last_event}")  # noqa: S311
    rows = HistoryRows(routes, rng, now, people=max(events // 6, 10))
    arrival_times = draw_arrivals(events, now, days, rng)
    for first in range(0, events, CHUNK_SIZE):
        last = min(first + CHUNK_SIZE, events)
        for number in range(first, last):
            rows.add_event(next(arrival_times), with_bodies=events - number <= bodies)
        with transaction.atomic():
            rows.write_rows()
        yield last
    rows.advance_sequences()


def draw_arrivals(events: int, now: float, days: float, rng: Random) -> Iterator[float]:
    """Yield the arrival times of `events` events within the last `days` days, oldest first.

    There are more by day than by night, and the last one is a few seconds ago.
    """
    hours = max(int(days * DAY / HOUR), 1)
    first_hour_at = now - hours * HOUR
    weights = [_BY_HOUR[int((first_hour_at + hour * HOUR) % DAY // HOUR)] for hour in range(hours)]
    total_weight, seen_weight, yielded = sum(weights), 0, 0
    for hour, weight in enumerate(weights):
        seen_weight += weight
        target = round(events * seen_weight / total_weight)
        yield from sorted(
            first_hour_at + (hour + rng.random() * 0.999) * HOUR for _ in range(target - yielded)
        )
        yielded = target
