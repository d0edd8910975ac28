"""Rows for tests of the overview: hourly counts, failed deliveries and groups of failures."""

from datetime import datetime, timedelta

from django.utils import timezone

from sync.models import (
    CallCount,
    Connection,
    CountedHour,
    Delivery,
    EventCount,
    FailureGroup,
    RefusalCount,
    Route,
)
from sync.models.counts import HOUR, start_of_hour
from sync.statistics.latency_histogram import BUCKET_COUNT, bucket_of
from tests.support.builders.history import a_delivery, a_route, a_source, an_event
from webhooks.models import Source


def now_hour() -> datetime:
    return start_of_hour(timezone.now())


def count_events(ago: int, state: str = "succeeded", number: int = 1, source: Source | None = None) -> None:
    """Count `number` events that came `ago` hours ago."""
    hour = now_hour() - ago * HOUR
    CountedHour.objects.update_or_create(begins_at=hour, defaults={"counted_at": timezone.now()})
    EventCount.objects.create(
        hour=hour,
        source=source or a_source(),
        entity_type="USER",
        event_type="UPDATE",
        state=state,
        number=number,
    )


def count_requests(
    connection: Connection, ago: int, seconds: float, *, number: int = 50, failed: int = 0, usual: float = 0.2
) -> None:
    """Count `number` requests that were sent `ago` hours ago and took `seconds` each."""
    durations = [0] * BUCKET_COUNT
    durations[bucket_of(seconds)] = number
    CallCount.objects.create(
        hour=now_hour() - ago * HOUR,
        connection=connection,
        number=number,
        failed=failed,
        durations=durations,
        usual_p95=usual,
    )


def a_failure_group(
    code: str, number: int, *, ago: int = 2, connection: Connection | None = None
) -> FailureGroup:
    """Create a group of failures."""
    there = connection or Connection.objects.get(slug="shop")
    at = timezone.now() - timedelta(hours=ago)
    return FailureGroup.objects.create(connection=there, code=code, number=number, first_at=at, last_at=at)


def a_failed_delivery(number: int, code: str = "target-rejected") -> Delivery:
    """Create a delivery that failed at the shop `number` minutes ago."""
    source = a_source()
    route = Route.objects.filter(source=source).first() or a_route(source)
    at = timezone.now() - timedelta(minutes=number)
    event = an_event(number, source=source, state="dead", code=code, received_at=at)
    return a_delivery(event, route, settled_at=at)


def count_refusals(number: int, code: str = "bad-signature") -> None:
    RefusalCount.objects.create(hour=now_hour(), source=a_source(), code=code, number=number)
