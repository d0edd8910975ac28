"""Label and sentence for the health of a connection, from its figures. Pure: figures and `now` are passed in.

The overview, the list of connections and the page of each connection share these texts.
"""

from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.ui.formatting import long_duration, percent_text, short_duration
from sync.monitoring.connection_health import ConnectionFigures, ConnectionHealth, classify_health

# The style, the symbol and the label of the pill.
HEALTH_PILLS = {
    ConnectionHealth.HEALTHY: ("good", "✓", gettext_lazy("Healthy")),
    ConnectionHealth.DEGRADED: ("warn", "!", gettext_lazy("Some failures")),
    ConnectionHealth.SLOW: ("warn", "◷", gettext_lazy("Slow")),
    ConnectionHealth.FAILING: ("bad", "✕", gettext_lazy("Failing")),
    ConnectionHealth.PAUSED: ("bad", "‖", gettext_lazy("Paused")),
    ConnectionHealth.OFF: ("quiet", "⊘", gettext_lazy("Disabled")),
    ConnectionHealth.IDLE: ("quiet", "–", gettext_lazy("No traffic")),
}


def health_sentence(figures: ConnectionFigures, now: datetime) -> str:
    """Describe the health in one sentence. `now` must come from the clock that set `paused_until`, the database's."""
    health = classify_health(figures)
    if health is ConnectionHealth.PAUSED:
        return _paused_sentence(figures, now)
    if health in (ConnectionHealth.FAILING, ConnectionHealth.DEGRADED):
        return _failed_sentence(figures)
    if health is ConnectionHealth.SLOW:
        return _slow_sentence(figures)
    if health is ConnectionHealth.HEALTHY:
        return _healthy_sentence(figures)
    if health is ConnectionHealth.OFF:
        return _("Disabled. Its deliveries fail until an administrator enables it.")
    return _("No requests in the last hour.")


def _paused_sentence(figures: ConnectionFigures, now: datetime) -> str:
    assert figures.paused_until is not None, "it is paused"
    left = (figures.paused_until - now).total_seconds()
    if left <= 0:
        numbers = {"successes": figures.successes, "enough": figures.successes_needed}
        return _("%(successes)d of %(enough)d test deliveries succeeded.") % numbers
    return _("Paused after repeated failures. Next check in %(span)s.") % {
        "span": long_duration(max(1, left))
    }


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
