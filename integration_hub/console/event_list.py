"""One page of the list of events: read by a cursor, counted within bounds, newest or oldest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.utils.translation import gettext, ngettext

from integration_hub.console.filtering import EventFilter, NoSuchFilter
from sync.models import Attempt, Delivery
from webhooks.models import Event, State

ROWS = 50
COUNTED = 1_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the order of the list, between two events."""

    received_at: datetime
    pk: int

    def __str__(self) -> str:
        return f"{(self.received_at - _EPOCH) // timedelta(microseconds=1)}-{self.pk}"

    @classmethod
    def of(cls, event: Event) -> "Cursor":
        return cls(event.received_at, event.pk)

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """`NoSuchFilter` for what no page of ours links to."""
        moment, _dash, key = text.partition("-")
        if not (moment.isdecimal() and key.isdecimal() and text.isascii() and len(text) < 38):
            raise NoSuchFilter("no place in the list")
        try:
            return cls(_EPOCH + timedelta(microseconds=int(moment)), min(int(key), 2**63 - 1))
        except OverflowError as error:
            raise NoSuchFilter("no place in the list") from error

    def older(self) -> Q:
        """What lies behind it. One comparison on the time first, so that the index begins there."""
        return Q(received_at__lte=self.received_at) & (
            Q(received_at__lt=self.received_at) | Q(pk__lt=self.pk)
        )

    def newer(self) -> Q:
        """What lies before it."""
        return Q(received_at__gte=self.received_at) & (
            Q(received_at__gt=self.received_at) | Q(pk__gt=self.pk)
        )


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the list a page begins: behind (`before`) or before (`after`) a cursor; neither: at its beginning."""

    before: Cursor | None = None
    after: Cursor | None = None
    oldest_first: bool = False


@dataclass(frozen=True, slots=True)
class Rows:
    """One page. `older` and `newer` are where its neighbours begin, None where there is none."""

    events: Sequence[Any]
    older: Cursor | None
    newer: Cursor | None


def read_rows(meant: EventFilter, place: Place) -> Rows:
    """At most 50 events, by one statement for each state that is meant. Each carries `tries`, `next_at` and
    `was_replayed` of its deliveries.
    """
    upward = place.after is not None if not place.oldest_first else place.before is None
    found = _read(meant, _narrowing(place), upward=upward)
    more, events = len(found) > ROWS, found[:ROWS]
    if not events:
        return Rows((), None, None)
    if upward:
        events.reverse()
    first, last = Cursor.of(events[0]), Cursor.of(events[-1])
    has_newer = more if upward else place.before is not None
    has_older = more if not upward else place.after is not None
    shown = events[::-1] if place.oldest_first else events
    return Rows(shown, last if has_older else None, first if has_newer else None)


def _narrowing(place: Place) -> Q:
    if place.before is not None:
        return place.before.older()
    return place.after.newer() if place.after is not None else Q()


def _read(meant: EventFilter, narrowing: Q, *, upward: bool) -> list[Any]:
    """Several states are read one by one: each has its index in this order, all together have none."""
    order = ("received_at", "pk") if upward else ("-received_at", "-pk")
    parts = _parts(meant)
    found = [
        event
        for part in parts
        for event in _told(part.narrow(Event.objects.filter(narrowing))).order_by(*order)[: ROWS + 1]
    ]
    if len(parts) > 1:
        found.sort(key=lambda event: (event.received_at, event.pk), reverse=not upward)
    return found[: ROWS + 1]


def _told(events: QuerySet[Event]) -> QuerySet[Any]:
    """With what the list tells of their deliveries, looked up for the rows that are shown only."""
    deliveries = Delivery.objects.filter(event=OuterRef("pk")).order_by()
    retried = deliveries.filter(state=State.RETRYING).order_by("due_at")
    replayed = Attempt.objects.filter(delivery__event=OuterRef("pk"), replay__isnull=False)
    return events.select_related("source").annotate(
        tries=Subquery(deliveries.order_by("-last_number").values("last_number")[:1]),
        next_at=Subquery(retried.values("due_at")[:1]),
        was_replayed=Exists(replayed),
    )


def _parts(meant: EventFilter) -> list[EventFilter]:
    return [meant.in_state(state) for state in meant.states] or [meant]


def count_newer(meant: EventFilter, cursor: Cursor) -> int:
    """Events of this list that came since the page was shown, at most 100 of each state."""
    newer = Event.objects.filter(cursor.newer()).order_by().values("pk")
    return sum(part.narrow(newer)[:100].count() for part in _parts(meant))


def count_rows(meant: EventFilter, rows: Rows) -> str:
    """How many events are meant, in words: exact up to 1,000; empty where no index would end the count early."""
    if rows.older is None and rows.newer is None:
        return _events(len(rows.events))
    if not meant.is_narrow:
        first, last = _ends()
        return gettext("about %(count)s events") % {"count": f"{last - first + 1:,}"}
    if not _is_counted_by_one_index(meant):
        return ""
    total = 0
    for part in _parts(meant):
        found = part.narrow(Event.objects.order_by().values("pk"))
        total += found[: COUNTED + 1 - total].count() if total <= COUNTED else 0
    if total > COUNTED:
        return gettext("more than %(count)s events") % {"count": f"{COUNTED:,}"}
    return _events(total)


def _is_counted_by_one_index(meant: EventFilter) -> bool:
    if meant.entity_id or meant.q:
        return True
    return not (meant.code or meant.event_type or meant.entity_type or (meant.state and meant.source))


def _events(count: int) -> str:
    return ngettext("%(count)d event", "%(count)d events", count) % {"count": count}


def _ends() -> tuple[int, int]:
    """The first key and the last. MIN and MAX in one SELECT would read the whole table on SQLite."""
    last = Event.objects.order_by("-pk").values("pk")[:1]
    return Event.objects.order_by("pk").values_list("pk", Subquery(last)).first() or (1, 0)
