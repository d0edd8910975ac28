"""Contents of a connection's page above its form: status, limits, waiting deliveries, unkept fields, last test."""

import binascii
import json
from base64 import urlsafe_b64decode
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from connectors.http.client_certificates import find_certificate_facts
from console.permissions import MAY_TEST
from console.settings.connections.connection_status import (
    ConnectionStatus,
    count_waiting,
    load_statuses,
    waiting_text,
)
from console.settings.connections.connection_test import load_last_test
from console.settings.connections.health import open_breaker_sentence
from console.ui.charts import join_sparkline
from console.ui.formatting import percent_text, render_age, render_time, short_duration
from sync.limits.breaker_status import BreakerMode, breaker_of, breaker_status
from sync.models import Connection, Link
from sync.monitoring.connection_health import ConnectionFigures

MAX_RECORDS = 1_000
MAX_FIELDS = 20


@dataclass(frozen=True, slots=True)
class UnkeptFields:
    """The fields that most records show, each with a text for their number. Empty if the target keeps all.

    `more`: a sentence about the fields that are not shown.
    """

    rows: tuple[tuple[str, str], ...] = ()
    more: str = ""

    @property
    def consequence(self) -> str:
        """Describe what the hub does about it."""
        if not settings.UNKEPT_WRITES:
            return _("The hub sends them with every event.")
        sentence = _(
            "After %(number)s equal writes, the hub leaves such a field out until its value changes here or in the "
            "target. Correct the mapping, or the target."
        )
        return sentence % {"number": f"{settings.UNKEPT_WRITES:,}"}


def count_unkept_fields(connection: Connection) -> UnkeptFields:
    """Count the records of each field that the target does not keep. One query, of at most MAX_RECORDS rows."""
    links = Link.objects.filter(target=connection, unkept_fields__isnull=False)
    texts = list(links.values_list("unkept_fields", flat=True)[: MAX_RECORDS + 1])
    is_lower_bound = len(texts) > MAX_RECORDS
    records = Counter(name for text in texts[:MAX_RECORDS] for name in json.loads(text or "[]"))
    ordered = sorted(records.items(), key=lambda counted: (-counted[1], counted[0]))
    rows = tuple((name, _records_text(number, is_lower_bound)) for name, number in ordered[:MAX_FIELDS])
    return UnkeptFields(rows, _more_text(len(ordered) - MAX_FIELDS))


def _records_text(number: int, is_lower_bound: bool) -> str:
    values = {"number": f"{number:,}"}
    if is_lower_bound:
        return _("at least %(number)s records") % values
    return ngettext("%(number)s record", "%(number)s records", number) % values


def _more_text(number: int) -> str:
    if number <= 0:
        return ""
    return ngettext("%(number)s more field.", "%(number)s more fields.", number) % {"number": f"{number:,}"}


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
    is_open = connection.is_enabled and breaker_status(connection, now).mode is BreakerMode.NOTHING
    return {
        "status": connection.shown,
        "facts": _list_facts(connection, now),
        "unkept": count_unkept_fields(connection),
        "may_try": is_open and may_change,
        "needs_administrator": is_open and not may_change,
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
    held = connection.read_credentials() or {}
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


def breaker_text(connection: Any, now: datetime) -> str | SafeString:
    """Say whether the connection sends, and why not. Needs `attach_status`."""
    breaker, passing = breaker_of(connection), breaker_status(connection, now)
    if not connection.is_enabled:
        return _("Disabled: its deliveries fail.")
    if breaker is None or passing.until is None:
        return _sending_text(breaker.failures if breaker else 0, connection.breaker_failures)
    sentence = open_breaker_sentence(connection.shown.figures, passing.until, now)
    return sentence if passing.mode is BreakerMode.NOTHING else f"{_('Recovering')}: {sentence}"


def _sending_text(failures: int, limit: int) -> str:
    if not failures:
        return _("Yes")
    sentence = ngettext(
        "Yes; %(number)s recent failure, stops after %(limit)s.",
        "Yes; %(number)s recent failures, stops after %(limit)s.",
        failures,
    )
    return sentence % {"number": f"{failures:,}", "limit": f"{limit:,}"}


def find_token_expiry(credentials: Mapping[str, str]) -> datetime | None:
    """Return the earliest expiry among the credentials, or None. Years from 9999 on mean never, and some time zones
    cannot show them.
    """
    ends = [
        end
        for value in credentials.values()
        if (end := _read_jwt_expiry(value)) is not None and 1 < end.year < 9999
    ]
    return min(ends, default=None)


def _read_jwt_expiry(value: str) -> datetime | None:
    parts = value.split(".")
    if len(parts) != 3:
        return None
    try:
        # JWTs omit the padding of base64.
        body = json.loads(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        seconds = body["exp"]
        # In Python True is an int.
        is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        return datetime.fromtimestamp(seconds, UTC) if is_number else None
    except (binascii.Error, ValueError, KeyError, TypeError, OverflowError, OSError, RecursionError):
        return None


def concurrency_text(connection: Any) -> str:
    """Say how many deliveries run now and how many may. The connection has `running` and `clock`."""
    limit = breaker_status(connection, connection.clock).delivery_limit(connection.concurrency)
    if limit == 0:
        text = _("%(running)s running; none are started while it is failing")
    elif limit is None:
        text = _("%(running)s running; no limit")
    else:
        text = _("%(running)s running; limit %(limit)s")
    return text % {"running": f"{connection.running:,}", "limit": f"{limit or 0:,}"}


def rate_text(connection: Connection) -> str:
    """Format the rate limit, in requests a second."""
    limit = connection.requests_per_second
    return _("no limit") if limit is None else f"{limit:,g}"
