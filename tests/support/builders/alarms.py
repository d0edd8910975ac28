"""Rows for tests of alarms: sources that fall silent, late deliveries, paused connections."""

import json
from datetime import datetime, timedelta
from typing import Any

from audit.models import Entry
from sync.models import Alarm, Breaker, Connection, Delivery, Route
from sync.monitoring.alarms import evaluate_alarms
from tests.support.builders.history import NOON, a_delivery, a_route, an_event
from webhooks.models import Event, Source

SECRET = "whsec_c2VjcmV0LW9mLXRoZS1hbGFybXMtMzItYnl0ZXMtbG9uZw=="
PEOPLE = ["support@example.com", "night@example.com"]
SILENCE = 30


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


def a_watched_source(name: str = "Aurora", last_event_at: datetime = NOON, **values: Any) -> Source:
    """Create a source with a silence limit of half an hour whose last event came at `last_event_at`."""
    source = Source.objects.create(
        **{"slug": name.lower(), "name": name, "scheme": "none", "silence_minutes": SILENCE} | values
    )
    Source.objects.filter(pk=source.pk).update(created_at=NOON - timedelta(days=1))
    an_event(source=source, received_at=last_event_at)
    return source


def receive_event(source: Source, at: datetime) -> Event:
    return an_event(source=source, received_at=at)


def a_late_delivery(due_at: datetime, state: str = "pending", **values: Any) -> Delivery:
    """Create a delivery to the shop that has been due since `due_at`."""
    event = an_event(state=state)
    route = Route.objects.filter(source=event.source).first() or a_route(event.source)
    return a_delivery(event, route, **{"due_at": due_at} | values)


def a_late_delivery_with_breaker(side: str, *, successes: int = 0, is_enabled: bool = True) -> None:
    """Create a late delivery and a breaker of its connection on this side: open, or with `successes` half-open."""
    end = getattr(a_late_delivery(NOON - minutes(60)), side)
    Connection.objects.filter(pk=end.pk).update(is_enabled=is_enabled)
    Breaker.objects.create(connection=end, opened_at=NOON, open_until=NOON, successes=successes)


def two_deliveries_of_one_subject(
    oldest_due_at: datetime, *, older_is_relayed: bool = True, younger_is_relayed: bool = True
) -> None:
    """Create two deliveries of one subject; the younger one has been due for an hour.

    If both are relayed, the younger one waits for the older one.
    """
    a_late_delivery(oldest_due_at, "retrying", is_relayed=older_is_relayed)
    a_late_delivery(NOON - minutes(60), is_relayed=younger_is_relayed)


def a_paused_connection(since: datetime, until: datetime | None, **values: Any) -> Connection:
    shop = Connection.objects.create(
        **{"slug": "shop", "name": "The shop", "side": "target", "connector": "rest-target"} | values
    )
    Breaker.objects.create(
        connection=shop, code="target-unavailable", opened_at=since if until else None, open_until=until
    )
    return shop


def a_silence_alarm() -> Alarm:
    """Create a source that is silent since noon, evaluate alarms one minute after its limit, and return the alarm."""
    a_watched_source()
    evaluate_alarms(NOON + minutes(SILENCE + 1))
    return Alarm.objects.get()


def open_kinds() -> list[str]:
    return sorted(Alarm.objects.filter(ended_at=None).values_list("kind", flat=True))


def alarm_entries() -> list[tuple[str, dict[str, Any]]]:
    """Return action and body of the audit log entries about alarms, oldest first."""
    rows = Entry.objects.filter(action__startswith="alarm.").order_by("id")
    return [(row.action, json.loads(row.body)) for row in rows]
