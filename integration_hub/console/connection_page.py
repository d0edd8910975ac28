"""What the page of a connection tells above its form: how it does, what it allows, what waits for it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from integration_hub.console.connection_testing import PERMISSION, last_test
from integration_hub.console.connection_traffic import Traffic, Waiting, traffic, waiting
from integration_hub.console.health_words import (
    ConnectionFigures,
    Health,
    health_label,
    health_of,
    health_sentence,
    seconds_words,
)
from integration_hub.console.protection import Passing, at_once, breaker_of, rate, spared
from integration_hub.console.token_ends import token_end
from integration_hub.console.wording import ago, code_words, moment
from sync.breaking import ENOUGH
from sync.models import Breaker, Connection


@dataclass(frozen=True, slots=True)
class Shown:
    """One connection at one moment."""

    health: Health
    sentence: str
    traffic: Traffic
    waiting: Waiting

    @property
    def pill(self) -> SafeString:
        """The word with its shape."""
        mark = {"good": "✓", "warn": "!", "bad": "✕"}.get(self.health.style, "–")
        return format_html(
            '<span class="pill pill-{}"><span aria-hidden="true">{}</span> {}</span>',
            self.health.style,
            mark,
            health_label(self.health),
        )


def shown(connection: Any, now: datetime, found: Traffic, waits: Waiting) -> Shown:
    """Of a measured connection; `now` is of the database's clock."""
    breaker = breaker_of(connection)
    figures = ConnectionFigures(
        is_enabled=connection.is_enabled,
        calls=found.calls,
        failed=found.failed,
        p95=found.p95,
        paused_until=breaker.open_until if breaker else None,
        successes=breaker.successes if breaker else 0,
        enough=ENOUGH,
    )
    return Shown(health_of(figures), health_sentence(figures, now), found, waits)


def with_figures(connections: Iterable[Any]) -> list[Any]:
    """Measured connections, each with how it does as `shown`: two statements for all."""
    rows = list(connections)
    if rows:
        waits, found = waiting(), traffic(rows[0].clock)
        for each in rows:
            each.shown = shown(each, each.clock, found.get(each.pk, Traffic()), waits[each.pk])
    return rows


def page_context(request: HttpRequest, connection: Any, *, may_change: bool) -> dict[str, Any]:
    """What the template needs of a measured connection: three statements."""
    now = connection.clock
    all_waiting = waiting()
    found = traffic(now).get(connection.pk, Traffic())
    state = shown(connection, now, found, all_waiting[connection.pk])
    is_paused = connection.is_enabled and spared(connection, now).passing is Passing.NOTHING
    return {
        "state": state,
        "facts": _facts(connection, now, state),
        "may_try": is_paused and may_change,
        "may_test": request.user.has_perm(PERMISSION),
        "tested": last_test(connection, now),
    }


def _facts(connection: Any, now: datetime, state: Shown) -> list[tuple[str, Any]]:
    found = state.traffic
    facts = [
        (_("Sending"), sending(connection, now)),
        (_("Waiting"), waiting_words(state.waiting)),
        (_("Requests, last hour"), f"{found.calls:,}"),
        (_("Half within (p50)"), seconds(found.p50)),
        (_("95 % within (p95)"), seconds(found.p95)),
        (_("Failed"), share(found)),
        (_("Last success"), ago(found.last_success_at, absent=_("not among the newest requests"))),
        (_("Timeout"), seconds_words(connection.deadline_seconds)),
        (_("Deliveries at once"), at_once(connection)),
        (_("Requests a second"), rate(connection)),
    ]
    ends_at = token_end(connection.credentials or {})
    return [*facts, (_("Token"), _ends(ends_at, now))] if ends_at else facts


def share(found: Traffic) -> str:
    """How much failed by the system's own fault, in percent."""
    return f"{found.share:.1%}" if found.calls else "–"


def seconds(value: float | None) -> str:
    """As exact as anybody needs."""
    return "–" if value is None else seconds_words(value)


def _ends(at: datetime, now: datetime) -> str | SafeString:
    if at <= now:
        return format_html(_("expired {}"), moment(at))
    days = (at - now.astimezone(UTC)).days
    told = ngettext("expires in %d day", "expires in %d days", days) % days
    return format_html("{} ({})", told, moment(at))


def sending(connection: Connection, now: datetime) -> str | SafeString:
    """The breaker in words."""
    breaker, passing = breaker_of(connection), spared(connection, now)
    if not connection.is_enabled:
        return _("Switched off: what is tried fails.")
    if breaker is None or passing.until is None:
        return _working(breaker.failures if breaker else 0, connection.breaker_failures)
    if passing.passing is Passing.PROBES:
        values = {"successes": breaker.successes, "enough": ENOUGH}
        return _("Trying again, one by one: %(successes)d of %(enough)d successes so far.") % values
    return _stopped(breaker, passing.until, connection, now)


def _working(failures: int, limit: int) -> str:
    if not failures:
        return _("Yes")
    sentence = ngettext(
        "Yes; %(number)s failure in a row, %(limit)s stop it.",
        "Yes; %(number)s failures in a row, %(limit)s stop it.",
        failures,
    )
    return sentence % {"number": f"{failures:,}", "limit": f"{limit:,}"}


def _stopped(breaker: Breaker, until: datetime, connection: Connection, now: datetime) -> str:
    sentence = ngettext(
        "Stopped sending after %(number)s failure (%(why)s); tries again in %(span)s.",
        "Stopped sending after %(number)s failures (%(why)s); tries again in %(span)s.",
        breaker.failures,
    )
    left = max(1.0, (until - now).total_seconds())
    why = code_words(breaker.code, connection.name).title
    return sentence % {"number": f"{breaker.failures:,}", "why": why, "span": seconds_words(left)}


def waiting_words(found: Waiting) -> str:
    """`1,204 deliveries`; where there are more than were counted, that."""
    number = f"{found.number:,}"
    if found.is_least:
        return _("at least %(number)s deliveries") % {"number": number}
    return ngettext("%(number)s delivery", "%(number)s deliveries", found.number) % {"number": number}
