"""Contents of a source's page: its activity, its routes, and which secret signed how many webhooks.

Event and refusal figures come from the hourly counts of the worker.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from typing import Any

from django.db.models import IntegerField, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.safestring import SafeString

from console.ui.charts import join_sparkline, polyline_points, render_sparkline
from console.ui.comparison_texts import pair_context
from console.ui.formatting import long_duration
from database.encryption.at_rest import CannotDecrypt
from sync.models import EventCount, RefusalCount
from sync.models.counts import HOUR, start_of_hour
from sync.monitoring.comparison_figures import pairs_of, with_comparisons
from sync.monitoring.health_figures import newest_events_of_source
from webhooks.models import EventOrigin, Receipt, Source, SourceSecret

MAX_RECEIPTS = 2_000
# Times that can be read. Both databases order everything else in a column of times before or after these.
_READABLE_TIMES = (datetime(MINYEAR + 1, 1, 1, tzinfo=UTC), datetime(MAXYEAR, 1, 1, tzinfo=UTC))


def annotate_activity(sources: QuerySet[Source]) -> QuerySet[Any]:
    """Annotate sources with the time of the last event and today's bad signatures. One query.

    An event whose time cannot be read is passed over: it would hide all sources.
    """
    # Today is the person's day, not that of UTC.
    midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    bad = RefusalCount.objects.filter(source=OuterRef("pk"), code="bad-signature", hour__gte=midnight)
    total = bad.order_by().values("source").annotate(total=Sum("number")).values("total")
    newest = newest_events_of_source().filter(received_at__range=_READABLE_TIMES)
    rows: QuerySet[Any] = sources.annotate(
        last_event_at=Subquery(newest.values("received_at")[:1]),
        bad_signatures=Coalesce(Subquery(total, output_field=IntegerField()), 0),
    )
    return rows


@dataclass(frozen=True, slots=True)
class SecretRow:
    """One secret as shown, without its value.

    `signed_count` is the number of webhooks that it signed in the last `period`, which begins when the newest secret
    was added, or later if the newest receipts do not reach back that far. If `fits`, it suits the source's verification
    scheme. If `is_only`, no other secret is active and fits.
    """

    secret: SourceSecret
    is_live: bool
    fits: bool
    is_old: bool
    age: str
    time_left: str
    signed_count: int
    last_at: datetime | None
    period: str
    is_only: bool


def load_secret_rows(source: Source) -> list[SecretRow]:
    """Load the secrets of a source with their use, newest first. Two queries."""
    now = timezone.now()
    secrets = list(source.secrets.order_by("-pk"))
    if not secrets:
        return []
    since, used = _usage_by_secret(source, secrets[0].created_at)
    span = long_duration((now - since).total_seconds())
    live = [secret.pk for secret in secrets if secret.is_live(now) and _fits_scheme(secret)]
    lines = []
    for secret in secrets:
        signed, last_at = used.get(str(secret.pk), (0, None))
        lines.append(
            SecretRow(
                secret,
                is_live=secret.is_live(now),
                fits=_fits_scheme(secret),
                is_old=secret.pk != secrets[0].pk,
                age=long_duration((now - secret.created_at).total_seconds()),
                time_left=_time_left(secret, now),
                signed_count=signed,
                last_at=last_at,
                period=span,
                is_only=live == [secret.pk],
            )
        )
    return lines


def _fits_scheme(secret: SourceSecret) -> bool:
    """Return True if the secret verifies webhooks; False also for a damaged one, which can still be ended."""
    try:
        return secret.fits_scheme
    except CannotDecrypt:
        return False


def _time_left(secret: SourceSecret, now: datetime) -> str:
    """Return how long the secret remains valid; empty if it has no end or has ended."""
    seconds = (secret.ends_at - now).total_seconds() if secret.ends_at else 0
    return long_duration(seconds) if seconds > 0 else ""


def _usage_by_secret(source: Source, since: datetime) -> tuple[datetime, dict[str, tuple[int, datetime]]]:
    """Count the signed webhooks by key of the secret, with the time of the last, among the newest receipts.

    Returns the start of the period that these receipts cover, and the counts.
    """
    newest = Receipt.objects.filter(received_at__gte=since).order_by("-received_at", "-id")
    read = list(newest.values_list("source_id", "verified_by", "received_at")[:MAX_RECEIPTS])
    usage: dict[str, tuple[int, datetime]] = {}
    for key, verified_by, at in read:
        # All sources share the index on time, so receipts of others are read and skipped.
        if key == source.pk:
            # `verified_by` is `<scheme>:<key of the secret>`.
            secret = verified_by.rpartition(":")[2]
            number, last_at = usage.get(secret, (0, at))
            usage[secret] = (number + 1, last_at)
    return read[-1][2] if len(read) == MAX_RECEIPTS else since, usage


def load_source_routes(source: Source) -> list[dict[str, Any]]:
    """Load the routes of a source, each with what comparisons say of its pair; a route that relays has none.

    Two statements.
    """
    related = ("identity", "target", "mapping", "source")
    routes = with_comparisons(source.routes.select_related(*related)).order_by("entity_type", "pk")
    by_route = {
        route.pk: pair_context(pair) for pair in pairs_of(routes) for route in pair.routes if not route.relays
    }
    return [{"route": route, "comparison": by_route.get(route.pk)} for route in routes]


SHOWN_HOURS = 24


@dataclass(frozen=True, slots=True)
class DailyEventCount:
    """The number of webhooks of this hour and the 23 before. `points` draws the complete hours as a line."""

    number: int
    points: str

    @property
    def with_sparkline(self) -> SafeString:
        return join_sparkline(f"{self.number:,}", render_sparkline(self.points))


def attach_daily_counts(sources: Iterable[Any]) -> list[Any]:
    """Set `day` on each source. One query for all."""
    rows = list(sources)
    current = start_of_hour(timezone.now())
    counted: dict[int, Counter[datetime]] = {source.pk: Counter() for source in rows}
    counts = EventCount.objects.filter(
        source__in=list(counted), origin=EventOrigin.WEBHOOK, hour__gt=current - SHOWN_HOURS * HOUR
    ).order_by()
    for source, hour, number in counts.values_list("source_id", "hour").annotate(Sum("number")):
        counted[source][hour] = number
    for source in rows:
        source.day = _count_day(counted[source.pk], current)
    return rows


def _count_day(hours: Mapping[datetime, int], current: datetime) -> DailyEventCount:
    # The current hour is incomplete and would look like a drop.
    over = [hours.get(current - ago * HOUR, 0) for ago in reversed(range(1, SHOWN_HOURS))]
    return DailyEventCount(sum(hours.values()), polyline_points(over) if any(over) else "")
