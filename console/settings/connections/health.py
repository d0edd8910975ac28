"""Label and sentence for the health of a connection, from its figures. Pure: figures and `now` are passed in; times are
in the person's zone.

The overview, the list of connections and the page of each connection share these texts.
"""

from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.ui.formatting import long_duration, minute_text, percent_text, short_duration
from sync.monitoring.connection_health import ConnectionFigures, ConnectionHealth, classify_health

# The style, the symbol and the label of the pill.
HEALTH_PILLS = {
    ConnectionHealth.HEALTHY: ("good", "✓", gettext_lazy("Healthy")),
    ConnectionHealth.DEGRADED: ("warn", "!", gettext_lazy("Some failures")),
    ConnectionHealth.SLOW: ("warn", "◷", gettext_lazy("Slow")),
    ConnectionHealth.FAILING: ("bad", "✕", gettext_lazy("Failing")),
    ConnectionHealth.PAUSED: ("warn", "‖", gettext_lazy("Paused")),
    ConnectionHealth.OFF: ("quiet", "⊘", gettext_lazy("Disabled")),
    ConnectionHealth.IDLE: ("quiet", "–", gettext_lazy("No traffic")),
}

_OTHER_SENTENCES = {
    ConnectionHealth.PAUSED: gettext_lazy("Its deliveries wait until someone resumes it."),
    ConnectionHealth.OFF: gettext_lazy("Disabled. Its deliveries fail until an administrator enables it."),
    ConnectionHealth.IDLE: gettext_lazy("No requests in the last hour."),
}


def health_sentence(figures: ConnectionFigures, now: datetime) -> str:
    """Describe the health in one sentence. `now` must come from the clock that set `open_until`, the database's."""
    health = classify_health(figures)
    if health is ConnectionHealth.FAILING and figures.open_until is not None:
        return open_breaker_sentence(figures, figures.open_until, now)
    if health in (ConnectionHealth.FAILING, ConnectionHealth.DEGRADED):
        return _failed_sentence(figures)
    if health is ConnectionHealth.SLOW:
        return _slow_sentence(figures)
    if health is ConnectionHealth.HEALTHY:
        return _healthy_sentence(figures)
    return str(_OTHER_SENTENCES[health])


def open_breaker_sentence(figures: ConnectionFigures, open_until: datetime, now: datetime) -> str:
    """Describe a circuit breaker that is not closed: `10 errors (503) since 22:06; next check in 25 s.`"""
    left = (open_until - now).total_seconds()
    if left <= 0:
        numbers = {"successes": figures.successes, "enough": figures.successes_needed}
        return _("%(successes)d of %(enough)d test deliveries succeeded.") % numbers
    text = ngettext(
        "%(errors)s error (%(why)s) since %(time)s; next check in %(span)s.",
        "%(errors)s errors (%(why)s) since %(time)s; next check in %(span)s.",
        figures.errors,
    )
    why = figures.status or figures.code.partition("-")[2].replace("-", " ") or _("no response")
    values = {"errors": f"{figures.errors:,}", "why": why, "span": long_duration(max(1, left))}
    return text % {**values, "time": minute_text(figures.failing_since or now, now)}


def _failed_sentence(figures: ConnectionFigures) -> str:
    sentence = ngettext(
        "%(failed)s of the last %(calls)s request failed (%(percent)s %%).",
        "%(failed)s of the last %(calls)s requests failed (%(percent)s %%).",
        figures.calls,
    )
    percent = percent_text(figures.failure_share)
    return sentence % {"failed": f"{figures.failed:,}", "calls": f"{figures.calls:,}", "percent": percent}


def _healthy_sentence(figures: ConnectionFigures) -> str:
    """Mention the few failures of a healthy connection, without sounding an alarm."""
    if not figures.failed:
        return _("Responds normally.")
    sentence = ngettext(
        "Working; %(failed)s of the last %(calls)s request failed.",
        "Working; %(failed)s of the last %(calls)s requests failed.",
        figures.calls,
    )
    return sentence % {"failed": f"{figures.failed:,}", "calls": f"{figures.calls:,}"}


def _slow_sentence(figures: ConnectionFigures) -> str:
    values = {"p95": short_duration(figures.p95 or 0.0), "usual": short_duration(figures.usual_p95 or 0.0)}
    if figures.usual_p95 is None:
        return _("Requests take up to %(p95)s.") % values
    return _("Requests take up to %(p95)s (normally %(usual)s).") % values
