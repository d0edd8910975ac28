"""Contents of a connection's page above its form: status, limits, waiting deliveries, last test."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console.permissions import MAY_TEST
from console.settings.connections.connection_status import (
    ConnectionStatus,
    count_waiting,
    load_statuses,
    waiting_text,
)
from console.settings.connections.connection_test import load_last_test
from console.settings.connections.limits import concurrency_text, rate_text
from console.settings.connections.token_expiry import find_token_expiry
from console.settings.connections.unkept_fields import count_unkept_fields
from console.ui.charts import join_sparkline
from console.ui.formatting import long_duration, percent_text, render_age, render_time, short_duration
from console.ui.outcome_texts import describe_code
from sync.connectors.http.client_certificates import find_certificate_facts
from sync.limits.breaker_status import BreakerMode, breaker_of, breaker_status
from sync.limits.circuit_breaker import SUCCESSES_TO_CLOSE
from sync.models import Breaker, Connection
from sync.monitoring.connection_health import ConnectionFigures


def attach_status(connections: Iterable[Any]) -> list[Any]:
    """Set `shown` (status) and `waiting` (count) on each connection: two queries for all."""
    rows = list(connections)
    if rows:
        waits = count_waiting()
        for connection, status in zip(rows, load_statuses(rows), strict=True):
            connection.shown, connection.waiting = status, waits[connection.pk]
    return rows


def page_context(request: HttpRequest, connection: Any, *, may_change: bool) -> dict[str, Any]:
    """Return the context of the page's template. The connection has `clock` and `running`. Four queries."""
    now = connection.clock
    attach_status([connection])
    is_paused = connection.is_enabled and breaker_status(connection, now).mode is BreakerMode.NOTHING
    return {
        "status": connection.shown,
        "facts": _list_facts(connection, now),
        "unkept": count_unkept_fields(connection),
        "may_try": is_paused and may_change,
        "needs_administrator": is_paused and not may_change,
        "may_test": request.user.has_perm(MAY_TEST),
        "tested": load_last_test(connection, now),
    }


def _list_facts(connection: Any, now: datetime) -> list[tuple[str, Any]]:
    status: ConnectionStatus = connection.shown
    requests = _("Requests since %(time)s") % {"time": f"{timezone.localtime(status.since):%H:%M}"}
    facts = [
        (_("Sending"), breaker_text(connection, now)),
        (_("Waiting"), render_waiting_link(connection)),
        (requests, f"{status.figures.calls:,}"),
        (_("Median (p50)"), short_duration(status.p50)),
        (_("95th percentile (p95)"), join_sparkline(short_duration(status.figures.p95), status.sparkline)),
        (_("Failed"), failure_share_text(status.figures)),
        (_("Last success"), render_age(status.last_success_at, absent=_("none in the last 24 hours"))),
        (_("Timeout"), short_duration(connection.deadline_seconds)),
        (_("Concurrency"), concurrency_text(connection)),
        (_("Rate limit (per second)"), rate_text(connection)),
    ]
    held = connection.credentials or {}
    if ends_at := find_token_expiry(held):
        facts.append((_("Token"), _expiry_text(ends_at, now)))
    certificate = find_certificate_facts(held["client_certificate"]) if "client_certificate" in held else None
    if certificate is not None:
        expiry = _expiry_text(certificate.expires_at, now)
        facts.append((_("Client certificate"), format_html("{}: {}", certificate.subject, expiry)))
    return facts


def failure_share_text(figures: ConnectionFigures) -> str:
    """Format the share of requests that failed through a fault of the system, in per cent."""
    return f"{percent_text(figures.failure_share)} %" if figures.calls else "–"


def render_waiting_link(connection: Any) -> str | SafeString:
    """Render the number of waiting deliveries with a link to their events. Needs `attach_status`."""
    words = waiting_text(connection.waiting)
    if not connection.waiting.number:
        return words
    query = urlencode({"waits_for": connection.slug})
    return format_html('<a href="{}?{}">{}</a>', reverse("admin:webhooks_event_changelist"), query, words)


def _expiry_text(at: datetime, now: datetime) -> str | SafeString:
    if at <= now:
        return format_html(_("expired {}"), render_time(at))
    days = (at - now.astimezone(UTC)).days
    text = ngettext("expires in %d day", "expires in %d days", days) % days
    return format_html("{} ({})", text, render_time(at))


def breaker_text(connection: Connection, now: datetime) -> str | SafeString:
    """Describe the circuit breaker of a connection."""
    breaker, passing = breaker_of(connection), breaker_status(connection, now)
    if not connection.is_enabled:
        return _("Disabled: its deliveries fail.")
    if breaker is None or passing.until is None:
        return _sending_text(breaker.failures if breaker else 0, connection.breaker_failures)
    if passing.mode is BreakerMode.PROBES:
        values = {"successes": breaker.successes, "enough": SUCCESSES_TO_CLOSE}
        return _("Recovering: %(successes)d of %(enough)d test deliveries succeeded.") % values
    return _paused_text(breaker, passing.until, connection, now)


def _sending_text(failures: int, limit: int) -> str:
    if not failures:
        return _("Yes")
    sentence = ngettext(
        "Yes; %(number)s recent failure, pauses after %(limit)s.",
        "Yes; %(number)s recent failures, pauses after %(limit)s.",
        failures,
    )
    return sentence % {"number": f"{failures:,}", "limit": f"{limit:,}"}


def _paused_text(breaker: Breaker, until: datetime, connection: Connection, now: datetime) -> str:
    sentence = ngettext(
        "Paused after %(number)s failure (%(why)s). Next check in %(span)s.",
        "Paused after %(number)s failures (%(why)s). Next check in %(span)s.",
        breaker.failures,
    )
    left = max(1.0, (until - now).total_seconds())
    why = describe_code(breaker.code, connection.name).title
    return sentence % {"number": f"{breaker.failures:,}", "why": why, "span": long_duration(left)}
