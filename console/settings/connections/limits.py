"""Texts on the protection of a connection: circuit breaker, concurrency limit, rate limit."""

from datetime import datetime
from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console.ui.formatting import render_time, time_until
from console.ui.outcome_texts import describe_code
from sync.limits.breaker_status import BreakerMode, breaker_of, breaker_status
from sync.limits.circuit_breaker import SUCCESSES_TO_CLOSE
from sync.models import Breaker, Connection


def breaker_sentence(connection: Connection, clock: datetime) -> str | SafeString:
    """Describe the breaker: `working`, `paused until …, after 5 failures: …`, or `trying again: 3 of 8 successes`."""
    breaker, now = breaker_of(connection), breaker_status(connection, clock)
    if breaker is None or now.until is None:
        return _working_text(breaker, connection)
    if now.mode is BreakerMode.PROBES:
        text = _("recovering: %(successes)d of %(enough)d test deliveries succeeded")
        return text % {"successes": breaker.successes, "enough": SUCCESSES_TO_CLOSE}
    title = describe_code(breaker.code, connection.name).title
    when = (
        render_time(now.until),
        time_until(now.until, clock),
        _count_failures_text(breaker.failures),
        title,
    )
    if breaker.openings > 1:
        text = _("paused until {} ({}) after {}: {}; {} consecutive pauses")
        return format_html(text, *when, breaker.openings)
    return format_html(_("paused until {} ({}) after {}: {}"), *when)


def _working_text(breaker: Breaker | None, connection: Connection) -> str:
    if breaker is None or not breaker.failures:
        return _("working")
    text = _("working; %(failures)s recently, pauses after %(limit)d")
    return text % {
        "failures": _count_failures_text(breaker.failures),
        "limit": connection.breaker_failures,
    }


def _count_failures_text(number: int) -> str:
    return ngettext("%(number)s failure", "%(number)s failures", number) % {"number": f"{number:,}"}


def concurrency_text(connection: Any) -> str:
    """Say how many deliveries run now and how many may. The connection has `running` and `clock`."""
    limit = breaker_status(connection, connection.clock).delivery_limit(connection.concurrency)
    if limit == 0:
        text = _("%(running)s running; none are started while it is paused")
    elif limit is None:
        text = _("%(running)s running; no limit")
    else:
        text = _("%(running)s running; limit %(limit)s")
    return text % {"running": f"{connection.running:,}", "limit": f"{limit or 0:,}"}


def rate_text(connection: Connection) -> str:
    """Format the rate limit, in requests a second."""
    limit = connection.requests_per_second
    return _("no limit") if limit is None else f"{limit:,g}"
