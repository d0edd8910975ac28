"""List what needs someone now, one line each: open alarms, unhealthy connections, awaited decisions, pauses, and routes
that observe.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from console.overview.awaited import awaited_requests
from console.settings.connections.connection_status import ConnectionStatus
from sync.models import Alarm, AlarmKind, Connection, Route
from sync.models.connection import IDS_CHANGED
from sync.monitoring.alarm_texts import notification_text
from sync.monitoring.connection_health import ConnectionHealth
from webhooks.models import Source

MAX_ALERTS = 6
_PAUSED_AND_ENABLED: dict[str, Any] = {"paused_at__isnull": False, "is_enabled": True}
# The figures and the table below the alerts show these, with links.
_SHOWN_ELSEWHERE = frozenset({AlarmKind.DELIVERIES_DEAD})
_WARNINGS = frozenset(
    {
        AlarmKind.DELIVERIES_HELD,
        AlarmKind.CERTIFICATE_ENDING,
        AlarmKind.OUT_OF_STEP,
        AlarmKind.COMPARISON_FAILED,
        AlarmKind.COMPARISON_LATE,
        AlarmKind.CATCH_UP_LATE,
    }
)


# Worst first.
_STYLES = ("bad", "warn", "quiet")


@dataclass(frozen=True, slots=True)
class OverviewAlert:
    """One line: the problem, its effect, and a link."""

    style: str
    title: str
    text: str
    link: str
    link_text: str


def collect_alerts(user: Any, connections: Iterable[ConnectionStatus]) -> list[OverviewAlert]:
    """Return the alerts, worst first, without snoozed alarms."""
    alarms = _open_alarms() if user.has_perm("sync.view_alarm") else []
    # A connection with such an alarm has its line already.
    alarmed = {alarm.subject for alarm in alarms if alarm.kind == AlarmKind.CONNECTION_PAUSED}
    others = (status for status in connections if f"connection:{status.connection.pk}" not in alarmed)
    alerts = [
        *_alarm_alerts(alarms),
        *_connection_alerts(others),
        *_awaited_alerts(user),
        *_pause_alerts(user),
        *_observing_alerts(user),
    ]
    return sorted(alerts, key=lambda alert: _STYLES.index(alert.style))[:MAX_ALERTS]


def _open_alarms() -> list[Alarm]:
    now = timezone.now()
    # Snoozed alarms are dropped below, so more are read than can be shown.
    rows = Alarm.objects.filter(ended_at=None).order_by("raised_at", "pk")[: 4 * MAX_ALERTS]
    return [alarm for alarm in rows if alarm.snoozed_until is None or alarm.snoozed_until <= now]


def _alarm_alerts(alarms: Iterable[Alarm]) -> Iterator[OverviewAlert]:
    for alarm in alarms:
        if alarm.kind not in _SHOWN_ELSEWHERE:
            words = notification_text(alarm)
            link = reverse("admin:sync_alarm_change", args=[alarm.pk])
            style = "warn" if alarm.kind in _WARNINGS else "bad"
            yield OverviewAlert(style, f"{words.title}.", words.detail, link, _("Show what to do"))


def _connection_alerts(connections: Iterable[ConnectionStatus]) -> Iterator[OverviewAlert]:
    for status in connections:
        if not status.health.needs_attention:
            continue
        link = reverse("admin:sync_connection_change", args=[status.connection.pk])
        style = "warn" if status.health is ConnectionHealth.SLOW or status.is_recovering else "bad"
        text = _("%(what)s Events are retried automatically; nothing is lost.") % {"what": status.sentence}
        yield OverviewAlert(style, _connection_title(status), text, link, _("Open connection"))


def _awaited_alerts(user: Any) -> Iterator[OverviewAlert]:
    for awaited in awaited_requests(user):
        yield OverviewAlert("warn", awaited.title, awaited.text, awaited.link, _("Open request"))


def _pause_alerts(user: Any) -> Iterator[OverviewAlert]:
    """Yield an alert for each pause: a pause is easily forgotten."""
    if user.has_perm("webhooks.view_source"):
        for source in Source.objects.filter(**_PAUSED_AND_ENABLED).select_related("paused_by")[:MAX_ALERTS]:
            yield _pause_alert(source, "admin:webhooks_source_change", _("Open source"))
    if user.has_perm("sync.view_route"):
        related = ("paused_by", "source", "target")
        for route in Route.objects.filter(**_PAUSED_AND_ENABLED).select_related(*related)[:MAX_ALERTS]:
            yield _pause_alert(route, "admin:sync_route_change", _("Open route"))
    if user.has_perm("sync.view_connection"):
        # An alarm says why the hub itself has paused a connection.
        by_person = Connection.objects.exclude(paused_by=None, pause_reason=IDS_CHANGED)
        paused = by_person.filter(**_PAUSED_AND_ENABLED).select_related("paused_by")
        for connection in paused[:MAX_ALERTS]:
            yield _pause_alert(connection, "admin:sync_connection_change", _("Open connection"))


def _pause_alert(what: Source | Route | Connection, page: str, link_text: str) -> OverviewAlert:
    values = {"who": what.paused_by or _("a deleted user"), "reason": what.pause_reason}
    text = _("Paused by %(who)s: %(reason)s. Incoming events wait until it is resumed.") % values
    title = _("%(name)s is paused.") % {"name": what}
    return OverviewAlert("warn", title, text, reverse(page, args=[what.pk]), link_text)


def _observing_alerts(user: Any) -> Iterator[OverviewAlert]:
    """Yield a line for each route that observes: its target gets nothing until it goes live."""
    if not user.has_perm("sync.view_route"):
        return
    page, link_text = "admin:sync_route_change", _("Open route")
    if user.has_perm("sync.change_route"):
        page, link_text = "admin:sync_route_live", _("Go live…")
    routes = Route.objects.filter(is_enabled=True, mode=Route.Mode.OBSERVE).select_related("source", "target")
    for route in routes[:MAX_ALERTS]:
        text = _(
            "Changes are planned and recorded. Nothing is written to %(target)s until the route goes live."
        )
        title = _("%(name)s observes.") % {"name": route}
        link = reverse(page, args=[route.pk])
        yield OverviewAlert("quiet", title, text % {"target": route.target}, link, link_text)


def _connection_title(status: ConnectionStatus) -> str:
    name, since = status.connection.name, status.figures.slow_since
    if status.health is ConnectionHealth.SLOW:
        if since is None:
            return _("%(name)s is slow.") % {"name": name}
        local = timezone.localtime(since)
        return _("%(name)s has been slow since %(time)s.") % {"name": name, "time": f"{local:%H:%M}"}
    if status.is_recovering:
        return _("%(name)s is recovering.") % {"name": name}
    return _("%(name)s is failing.") % {"name": name}
