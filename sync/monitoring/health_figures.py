"""Measure the health of the hub: a few figures, each from an index or a small table.

Where a person has to act, events are counted and not deliveries: an event shows the worst state of its
deliveries, and events are what the person's list shows.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import DatabaseError
from django.db.models import Count, Exists, F, Min, OuterRef, Q, QuerySet, Subquery, Sum

from audit.entries.search import filter_by_action
from audit.models import Entry
from audit.models.column_values import UNREADABLE, is_valid_value
from audit.sealing.status import SealingStatus, sealing_status
from database.statement import Statement
from database.values import parse_optional_timestamp, parse_timestamp
from logins.limits import last_attempt_without_address
from logins.models import FailedLogins
from logins.overseers import log_readers
from sync.deliveries.predicates import has_expired_lease, is_behind_older, is_due, is_of_live_route
from sync.models import CatchUp, Connection
from sync.models.connection import IDS_CHANGED
from sync.models.failure import open_failure_groups
from sync.monitoring.comparison_figures import PairFigures, load_pairs
from sync.monitoring.expiring_certificates import ExpiringCertificate, read_certificates
from webhooks.models import Event, EventOrigin, Receipt, Source

logger = logging.getLogger("hub.monitoring")

# Bounds the cost of counting a large backlog.
COUNT_LIMIT = 10_000
# The entity and event type of the hub's own test events.
TEST_EVENT_TYPE = "HUB-TEST"
# Failed logins count as one attack until none has failed for this long.
LOGIN_ATTACK_GAP = timedelta(minutes=15)
# A day, so that everybody whom it concerns sees it once.
BREAK_GLASS_ALARM_PERIOD = timedelta(days=1)
# Webhooks and logins of the last hour whose client's address could not be read.
UNREADABLE_ADDRESS_PERIOD = timedelta(hours=1)
MAX_LAST_RECEIPTS = 20
MAX_CATCH_UPS = 500
# The number of last events of a source that are searched for a readable time.
MAX_DAMAGED = 50
_RECEIVED_AT = Event._meta.get_field("received_at")

_DUE = Statement(
    f"SELECT COUNT(*) FROM (SELECT id FROM sync_delivery WHERE {is_due(at='%s')} LIMIT %s) waiting"  # noqa: S608
)
_EXPIRED = Statement(
    f"SELECT COUNT(*) FROM (SELECT id FROM sync_delivery WHERE {has_expired_lease(at='%s')} LIMIT %s) waiting"  # noqa: S608
)
# Differs from `has_no_open_breaker`: a breaker lets probes through after its pause, but for people the connection is
# paused until a probe succeeds. Disabled connections are left out.
PAUSED_CONNECTIONS = """FROM sync_breaker b JOIN sync_connection c ON c.id = b.connection_id
    WHERE b.open_until IS NOT NULL AND b.successes = 0 AND c.is_enabled"""
_PAUSED = Statement(
    f"""SELECT b.connection_id, c.name, COALESCE(b.opened_at, b.open_until), b.open_until, b.code {PAUSED_CONNECTIONS}
    ORDER BY c.name, c.id"""
)
_OLDEST_DUE = Statement(
    f"""SELECT d.due_at FROM sync_delivery d WHERE {is_due("d", at="%s")} AND NOT {is_behind_older("d")}
    AND {is_of_live_route("d")} AND d.identity_id NOT IN (SELECT b.connection_id {PAUSED_CONNECTIONS})
    AND d.target_id NOT IN (SELECT b.connection_id {PAUSED_CONNECTIONS})
    ORDER BY d.due_at, d.id LIMIT 1"""  # noqa: S608
)
_DEAD_AND_HELD = Statement(
    """SELECT (SELECT COUNT(*) FROM (SELECT 1 FROM webhooks_event WHERE state = 'dead' LIMIT %s) AS dead),
    (SELECT COUNT(*) FROM (SELECT 1 FROM webhooks_event WHERE state = 'held' LIMIT %s) AS held)"""
)


@dataclass(frozen=True, slots=True)
class SourceActivity:
    """Activity of an enabled source. `silent_since`: time of its last event whose time can be read, or of its creation
    if it never sent one.
    """

    id: int
    name: str
    silent_since: datetime
    has_sent: bool
    silence: timedelta | None

    def is_silent(self, at: datetime) -> bool:
        """Return True if it has been silent for longer than its threshold; without a threshold, False."""
        return self.silence is not None and at - self.silent_since > self.silence


@dataclass(frozen=True, slots=True)
class PausedConnection:
    """A connection whose breaker is open, or has not seen a success since."""

    id: int
    name: str
    paused_at: datetime
    until: datetime
    code: str


@dataclass(frozen=True, slots=True)
class ChangedTarget:
    """A target that the hub has paused because its ids seem to have changed."""

    id: int
    name: str
    paused_at: datetime


@dataclass(frozen=True, slots=True)
class HealthFigures:
    """Health figures at one moment. Counts stop at one more than `COUNT_LIMIT`. `expired`: leases that ended
    and are not freed yet.

    `oldest_due_at` belongs to a delivery of a live route that a worker could run: neither blocked by a circuit breaker,
    nor relayed and behind an older delivery of its subject that is retried later.
    """

    at: datetime
    oldest_due_at: datetime | None
    due: int
    expired: int
    dead: int
    open_failures: int
    held: int
    sources: tuple[SourceActivity, ...]
    paused: tuple[PausedConnection, ...]
    audit: SealingStatus
    failed_logins: int = 0
    logins_failing_since: datetime | None = None
    addresses_unreadable_since: datetime | None = None
    break_glass_uses: int = 0
    break_glass_at: datetime | None = None
    has_log_reader: bool = True
    certificates: tuple[ExpiringCertificate, ...] = ()
    changed: tuple[ChangedTarget, ...] = ()
    pairs: tuple[PairFigures, ...] = ()
    catch_ups: tuple[CatchUp, ...] = ()

    @property
    def oldest_due_seconds(self) -> float:
        """Seconds for which the oldest due delivery has been due; 0 without one."""
        if self.oldest_due_at is None:
            return 0.0
        return max(0.0, (self.at - self.oldest_due_at).total_seconds())


def measure_health(at: datetime) -> HealthFigures:
    """Measure the figures at a time of the database's clock, in twenty statements, behind proxies in twenty-two."""
    due, expired = count_due_and_expired(at)
    dead, held = _count_dead_and_held()
    failed_logins, failing_since = _count_failed_logins(at)
    break_glass_uses, break_glass_at = _count_break_glass_uses(at)
    return HealthFigures(
        at=at,
        oldest_due_at=_oldest_due_at(at),
        due=due,
        expired=expired,
        dead=dead,
        open_failures=open_failure_groups().aggregate(number=Sum("number"))["number"] or 0,
        held=held,
        sources=tuple(read_source_activity()),
        paused=tuple(_read_paused_connections()),
        audit=sealing_status(),
        failed_logins=failed_logins,
        logins_failing_since=failing_since,
        addresses_unreadable_since=_addresses_unreadable_since(at),
        break_glass_uses=break_glass_uses,
        break_glass_at=break_glass_at,
        has_log_reader=_has_log_reader(),
        certificates=read_certificates(),
        changed=tuple(_read_changed_targets()),
        pairs=_readable_pairs(),
        catch_ups=_readable_catch_ups(),
    )


def count_due_and_expired(at: datetime) -> tuple[int, int]:
    """Count the due deliveries and the expired leases, in two statements."""
    ((due,),), ((expired,),) = _DUE.fetch_all(at, COUNT_LIMIT + 1), _EXPIRED.fetch_all(at, COUNT_LIMIT + 1)
    return due, expired


def _count_failed_logins(at: datetime) -> tuple[int, datetime | None]:
    """Count the failed logins of this hour and the one before, if the last is recent, and return when they began."""
    recent = FailedLogins.objects.filter(hour__gt=at - timedelta(hours=2), last_at__gt=at - LOGIN_ATTACK_GAP)
    sums = recent.aggregate(times=Sum(F("wrong") + F("refused")), since=Min("first_at"))
    return min(sums["times"] or 0, COUNT_LIMIT + 1), sums["since"]


def _addresses_unreadable_since(at: datetime) -> datetime | None:
    """Return when the first of the last requests came whose client's address could not be read; None if all could, or
    if the hub reads no header for it.
    """
    if not settings.TRUSTED_PROXIES:
        return None
    since = at - UNREADABLE_ADDRESS_PERIOD
    newest = Receipt.objects.order_by("-pk").values_list("address", "received_at")[:MAX_LAST_RECEIPTS]
    times = [received_at for address, received_at in newest if address is None and received_at > since]
    used_until = last_attempt_without_address(since)
    return min([*times, *([] if used_until is None else [min(used_until, at)])], default=None)


def _count_break_glass_uses(at: datetime) -> tuple[int, datetime | None]:
    """Count the changes of logins that were made on the server in the last 24 hours, and return when they began."""
    recent = filter_by_action(
        Entry.objects.filter(at__gt=at - BREAK_GLASS_ALARM_PERIOD), "person.break-glass"
    )
    try:
        sums = recent.aggregate(times=Count("id"), since=Min("at"))
    except (*UNREADABLE, DatabaseError):
        # A damaged time, which the verification reports.
        return recent.count(), at - BREAK_GLASS_ALARM_PERIOD
    return sums["times"], sums["since"]


def _has_log_reader() -> bool:
    """Return False if nobody can read the audit log, although a login may open the console or has done so."""
    watched = User.objects.filter(Q(is_staff=True) | Q(last_login__isnull=False))
    return not watched.filter(~Exists(log_readers())).exists()


def _oldest_due_at(at: datetime) -> datetime | None:
    """Return the due time of the oldest delivery that could run. Reads the whole backlog of paused
    connections if there is nothing else.
    """
    row = _OLDEST_DUE.fetch_one(at)
    return parse_optional_timestamp(row[0]) if row else None


def _count_dead_and_held() -> tuple[int, int]:
    """Count the failed events and the held ones, in one statement."""
    [(dead, held)] = _DEAD_AND_HELD.fetch_all(COUNT_LIMIT + 1, COUNT_LIMIT + 1)
    return dead, held


def newest_events_of_source() -> QuerySet[Event]:
    """Select the webhooks of the outer query's source, newest first, without the hub's own test events."""
    of_source = Event.objects.filter(source=OuterRef("pk"), origin=EventOrigin.WEBHOOK)
    return of_source.exclude(entity_type=TEST_EVENT_TYPE).order_by("-received_at", "-id")


def read_source_activity() -> list[SourceActivity]:
    """Read the activity of each enabled source: one statement, two index lookups a source."""
    newest = newest_events_of_source()
    columns = ("id", "name", "created_at", "silence_minutes", "last_event")
    # A polled source sends nothing: if it has no changes for long, its catch-up is late.
    sources = Source.objects.filter(is_enabled=True).exclude(scheme="polled").order_by("name", "id")
    sources = sources.annotate(last_event=Subquery(newest.values("pk")[:1]))
    with_times = sources.annotate(last_event_at=Subquery(newest.values("received_at")[:1]))
    try:
        rows: list[Any] = list(with_times.values_list(*columns, "last_event_at"))
    except (*UNREADABLE, DatabaseError):
        # One time that cannot be read hides all sources.
        rows = [(*row, None) for row in sources.values_list(*columns)]
    return [_source_activity(*row) for row in rows]


def _source_activity(
    pk: int, name: str, made: datetime, limit: int | None, event: int | None, last: datetime | None
) -> SourceActivity:
    if event is not None and not _is_readable_time(last):
        last = _newest_readable_time(pk)
    silence = timedelta(minutes=limit) if limit else None
    return SourceActivity(pk, name, last or made, event is not None, silence)


def _newest_readable_time(source: int) -> datetime | None:
    """Return the newest time that can be read among the last webhooks of a source."""
    webhooks = Event.objects.filter(source=source, origin=EventOrigin.WEBHOOK)
    events = webhooks.exclude(entity_type=TEST_EVENT_TYPE)
    keys = events.order_by("-received_at", "-id").values_list("pk", flat=True)[:MAX_DAMAGED]
    for key in keys:
        try:
            at = Event.objects.values_list("received_at", flat=True).get(pk=key)
        except (*UNREADABLE, DatabaseError):
            continue
        if _is_readable_time(at):
            return at
    return None


def _is_readable_time(at: datetime | None) -> bool:
    # Django reads some texts that are not times as None.
    return at is not None and is_valid_value(_RECEIVED_AT, at)


def _readable_pairs() -> tuple[PairFigures, ...]:
    try:
        return tuple(load_pairs())
    except (*UNREADABLE, DatabaseError):
        # One damaged comparison must not silence all other alarms.
        logger.exception("the comparisons cannot be read")
        return ()


def _readable_catch_ups() -> tuple[CatchUp, ...]:
    running = CatchUp.objects.filter(identity__catch_up_minutes__isnull=False).select_related("identity")
    try:
        return tuple(running.order_by("identity__name", "pk")[:MAX_CATCH_UPS])
    except (*UNREADABLE, DatabaseError):
        # As above.
        logger.exception("the catch-ups cannot be read")
        return ()


def _read_changed_targets() -> Iterator[ChangedTarget]:
    paused = Connection.objects.filter(paused_at__isnull=False, is_enabled=True, pause_reason=IDS_CHANGED)
    for connection in paused.filter(paused_by=None).order_by("name", "pk"):
        yield ChangedTarget(connection.pk, connection.name, connection.paused_at)  # type: ignore[arg-type]


def _read_paused_connections() -> list[PausedConnection]:
    return [
        PausedConnection(pk, name, parse_timestamp(paused_at), parse_timestamp(until), code)
        for pk, name, paused_at, until, code in _PAUSED.fetch_all()
    ]
