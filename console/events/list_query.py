"""Read one page of the event list by a cursor, and count its events within bounds."""

from collections.abc import Sequence
from functools import partial, reduce
from operator import or_
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.db.models.expressions import RawSQL
from django.utils.translation import gettext, ngettext

from console.base.damaged_rows import load_rows
from console.ui.keyset import BY_RECEIVED_TIME, Cursor, KeysetPage, PageRequest
from sync.models import WAITING_STATES, Attempt, Delivery
from sync.search.event_filter import EXCLUDED, EventFilter
from webhooks.models import Event, State

COUNT_LIMIT = 1_000


def fetch_events(event_filter: EventFilter, page_request: PageRequest) -> KeysetPage:
    """Fetch a page of at most 50 events, by one statement. Raises DamagedValue if one cannot be read.

    Each event carries `attempt_count`, `next_at`, `was_replayed`, `is_paused`, and of the delivery that decided its
    state the key `route_key` of the route and the names `identity` and `target` of the connections.
    """
    return BY_RECEIVED_TIME.fetch_page(page_request, partial(_fetch_rows, event_filter))


def _fetch_rows(event_filter: EventFilter, condition: Q, order: Sequence[str], limit: int) -> list[Any]:
    parts = [
        part.apply_to(Event.objects.filter(condition)).order_by(*order)[:limit]
        for part in split_by_index(event_filter)
    ]
    if len(parts) == 1:
        return load_rows(_annotate_deliveries(parts[0]))
    events = Event.objects.filter(pk__in=_first_keys(parts, order, limit)).order_by(*order)
    return load_rows(_annotate_deliveries(events))


def _first_keys(parts: Sequence[QuerySet[Event]], order: Sequence[str], limit: int) -> RawSQL | list[int]:
    """Return a subquery of the keys of the first events of several sorted parts, which reads each part by its index; an
    empty list if no part can have any.
    """
    selects, params = [], list[Any]()
    for part in parts:
        try:
            sql, values = part.values("id", "received_at").query.sql_with_params()
        except EmptyResultSet:
            continue
        selects.append(f"SELECT id, received_at FROM ({sql}) AS part")  # noqa: S608
        params += values
    if not selects:
        return []
    way = "DESC" if order[0].startswith("-") else "ASC"
    # Texts of this module and of the ORM; values are parameters.
    return RawSQL(  # noqa: S611
        f"SELECT id FROM ({' UNION ALL '.join(selects)}) AS parts "  # noqa: S608
        f"ORDER BY received_at {way}, id {way} LIMIT %s",
        (*params, limit),
    )


def _annotate_deliveries(events: QuerySet[Event]) -> QuerySet[Any]:
    """Annotate the events with the facts of their deliveries that the list shows."""
    deliveries = Delivery.objects.filter(event=OuterRef("pk")).order_by()
    retried = deliveries.filter(state=State.RETRYING).order_by("due_at")
    deciding = deliveries.filter(code=OuterRef("code")).order_by("pk")
    undue = deliveries.filter(state=OuterRef("state"), state__in=WAITING_STATES, due_at=None)
    parts = ("route", "event__source", "identity", "target")
    paused = reduce(or_, (Q(**{f"{part}__paused_at__isnull": False}) for part in parts))
    replayed = Attempt.objects.filter(delivery__event=OuterRef("pk"), person_request__isnull=False)
    return events.select_related("source").annotate(
        attempt_count=Subquery(deliveries.order_by("-last_number").values("last_number")[:1]),
        next_at=Subquery(retried.values("due_at")[:1]),
        was_replayed=Exists(replayed),
        is_paused=Exists(undue.filter(paused)),
        route_key=Subquery(deciding.values("route_id")[:1]),
        identity=Subquery(deciding.values("identity__name")[:1]),
        target=Subquery(deciding.values("target__name")[:1]),
    )


def split_by_index(event_filter: EventFilter) -> list[EventFilter]:
    """Split a filter for several states, or for several sources, into one for each, which an index answers. No index
    answers several together.
    """
    if states := event_filter.matching_states:
        return [event_filter.with_state(state) for state in states]
    return [event_filter.with_source(slug) for slug in event_filter.sources] or [event_filter]


def count_newer(event_filter: EventFilter, cursor: Cursor) -> int:
    """Count the events of this list received since the cursor, at most 100 of each state."""
    newer = Event.objects.filter(BY_RECEIVED_TIME.newer_than(cursor)).order_by().values("pk")
    return sum(part.apply_to(newer)[:100].count() for part in split_by_index(event_filter))


def has_events(event_filter: EventFilter) -> bool:
    """Return True if any event matches, by at most one statement for each state."""
    return any(part.apply_to(Event.objects.order_by()).exists() for part in split_by_index(event_filter))


def filter_count_label(event_filter: EventFilter) -> str:
    """Return the number of matching events as text: exact up to 1,000, an estimate without filters.

    Empty if no index could end the count early.
    """
    if not event_filter.is_restricted:
        return estimate_text(*_pk_range())
    if not is_counted_by_one_index(event_filter):
        return ""
    total = 0
    for part in split_by_index(event_filter):
        matching = part.apply_to(Event.objects.order_by().values("pk"))
        total += matching[: COUNT_LIMIT + 1 - total].count() if total <= COUNT_LIMIT else 0
    return count_text(total)


def estimate_text(first: int, last: int) -> str:
    """Return the number of all events as text, from their first and last primary key."""
    return gettext("about %(count)s events") % {"count": f"{round_estimate(last - first + 1):,}"}


def round_estimate(count: int) -> int:
    """Round an estimate of a thousand or more to two digits: more digits would only look exact."""
    return count if count < COUNT_LIMIT else round(count, 2 - len(str(count)))


def is_counted_by_one_index(event_filter: EventFilter) -> bool:
    """Return True if one index finds the events of each part of a filter, so that a limit ends a count early."""
    # An entity or a search term selects few events, whatever else is filtered.
    if event_filter.entity_id or event_filter.q:
        return True
    return not (
        event_filter.code
        or event_filter.event_type
        or event_filter.entity_type
        or event_filter.source.startswith(EXCLUDED)
        or (event_filter.state and event_filter.source)
    )


def count_text(count: int) -> str:
    """Return a number of events as text: exact up to 1,000."""
    if count > COUNT_LIMIT:
        return gettext("more than %(count)s events") % {"count": f"{COUNT_LIMIT:,}"}
    return ngettext("%(count)d event", "%(count)d events", count) % {"count": count}


def _pk_range() -> tuple[int, int]:
    """Return the first and the last primary key."""
    # MIN and MAX in one SELECT would read the whole table on SQLite.
    last = Event.objects.order_by("-pk").values("pk")[:1]
    return Event.objects.order_by("pk").values_list("pk", Subquery(last)).first() or (1, 0)
