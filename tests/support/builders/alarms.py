"""What the tests of alarms start from: a source that may fall silent, channels that are set up, a clock that moves."""

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


def watched(name: str = "Aurora", heard: datetime = NOON, **values: Any) -> Source:
    """A source that alarms after half an hour; its last event came at noon."""
    made = Source.objects.create(
        **{"slug": name.lower(), "name": name, "scheme": "none", "silence_minutes": SILENCE} | values
    )
    Source.objects.filter(pk=made.pk).update(created_at=NOON - timedelta(days=1))
    an_event(source=made, received_at=heard)
    return made


def heard(source: Source, at: datetime) -> Event:
    return an_event(source=source, received_at=at)


def late_delivery(due_at: datetime, state: str = "pending", **values: Any) -> Delivery:
    """A delivery to the shop that has been due since then."""
    event = an_event(state=state)
    route = Route.objects.filter(source=event.source).first() or a_route(event.source)
    return a_delivery(event, route, **{"due_at": due_at} | values)


def late_and_paused(side: str, *, successes: int = 0, is_enabled: bool = True) -> None:
    """A late delivery, one of whose ends is paused, or was; or is disabled beside that."""
    end = getattr(late_delivery(NOON - minutes(60)), side)
    Connection.objects.filter(pk=end.pk).update(is_enabled=is_enabled)
    Breaker.objects.create(connection=end, opened_at=NOON, open_until=NOON, successes=successes)


def in_line(
    oldest_due_at: datetime, *, older_is_relayed: bool = True, younger_is_relayed: bool = True
) -> None:
    """Two deliveries of one subject, of which the younger has been due for an hour; where both are relayed, it waits
    for the older.
    """
    late_delivery(oldest_due_at, "retrying", is_relayed=older_is_relayed)
    late_delivery(NOON - minutes(60), is_relayed=younger_is_relayed)


def paused(since: datetime, until: datetime | None, **values: Any) -> Connection:
    shop = Connection.objects.create(
        **{"slug": "shop", "name": "The shop", "side": "commercial", "connector": "rest-commercial"} | values
    )
    Breaker.objects.create(
        connection=shop, code="target-unavailable", opened_at=since if until else None, open_until=until
    )
    return shop


def silent_alarm() -> Alarm:
    """The alarm of a source that has fallen silent at noon, found a minute after its threshold."""
    watched()
    evaluate_alarms(NOON + minutes(SILENCE + 1))
    return Alarm.objects.get()


def open_kinds() -> list[str]:
    return sorted(Alarm.objects.filter(ended_at=None).values_list("kind", flat=True))


def deeds() -> list[tuple[str, dict[str, Any]]]:
    """What the audit log says of alarms, in order."""
    rows = Entry.objects.filter(action__startswith="alarm.").order_by("id")
    return [(row.action, json.loads(row.body)) for row in rows]
