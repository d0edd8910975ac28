"""Events, requests, deliveries, attempts and calls of ninety days, as if they had happened; the same for a seed."""

from collections.abc import Iterator
from random import Random

from django.db import transaction
from django.db.models import Max

from integration_hub.devtools.sample_history.event_rows import Rows
from integration_hub.devtools.sample_history.scenarios import DAY, HOUR
from sync.models import Route
from webhooks.models import Event

CHUNK = 5_000
_BY_HOUR = (2, 1, 1, 1, 1, 2, 4, 8, 11, 12, 12, 11, 10, 11, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3)


def generate(
    events: int, *, now: float, days: float = 90.0, seed: int = 1, bodies: int = 500
) -> Iterator[int]:
    """Store so many events on the routes that there are, the last one just now; after each chunk, how many are stored.
    In an empty database the same seed makes the same history.

    The newest `bodies` carry what came and what was sent, sealed; of the others no contents are kept.
    `LookupError` where there is no route.
    """
    routes = list(Route.objects.filter(is_enabled=True).select_related("source", "identity", "commercial"))
    if not routes:
        raise LookupError("there is no route for events")
    begins = Event.objects.aggregate(last=Max("pk"))["last"] or 0
    chance = Random(f"{seed} after {begins}")  # noqa: S311
    rows = Rows(routes, chance, now, people=max(events // 6, 10))
    moments = arrivals(events, now, days, chance)
    for first in range(0, events, CHUNK):
        last = min(first + CHUNK, events)
        for number in range(first, last):
            rows.event(next(moments), with_bodies=events - number <= bodies)
        with transaction.atomic():
            rows.write()
        yield last
    rows.finish()


def arrivals(events: int, now: float, days: float, chance: Random) -> Iterator[float]:
    """So many moments of these days, the oldest first: many by day, few by night, the last a few seconds ago."""
    hours = max(int(days * DAY / HOUR), 1)
    begins = now - hours * HOUR
    weights = [_BY_HOUR[int((begins + hour * HOUR) % DAY // HOUR)] for hour in range(hours)]
    whole, seen, done = sum(weights), 0, 0
    for hour, weight in enumerate(weights):
        seen += weight
        upto = round(events * seen / whole)
        yield from sorted(begins + (hour + chance.random() * 0.999) * HOUR for _ in range(upto - done))
        done = upto
