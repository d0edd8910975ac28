"""Show the overview. It reads counts and small tables only, by a fixed number of statements.

Each part needs its own permission; without it the part's statements are not run.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Sum
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _

from console.failures.pages import failure_tabs
from console.overview.alerts import collect_alerts
from console.overview.badges import FAILURES, badges_of
from console.overview.figures import TARGET_PERCENT, load_figures
from console.overview.first_steps import list_setup_steps
from console.settings.connections.catch_ups import load_all_catch_ups
from console.settings.connections.connection_status import load_all_statuses
from console.ui.comparison_texts import pair_context
from database.clock import read_clock
from sync.models import RefusalCount
from sync.monitoring.comparison_figures import load_pairs
from sync.monitoring.health_figures import SourceActivity, read_source_activity
from webhooks.models import Event

MAX_REASONS = 10
PART_PERMISSIONS = {
    "events": "webhooks.view_event",
    "connections": "sync.view_connection",
    "sources": "webhooks.view_source",
    "refusals": "webhooks.view_refusal",
    "groups": "sync.view_failuregroup",
    "replay": "webhooks.replay_event",
    "pairs": "sync.view_differences",
}


@dataclass(frozen=True, slots=True)
class SourceSummary:
    """The sources. `silent` have sent nothing for longer than allowed; `refused` counts today's wrong signatures."""

    number: int
    silent: tuple[SourceActivity, ...]
    last_at: datetime | None
    refused: int | None

    @property
    def sending(self) -> int:
        return self.number - len(self.silent)


def render_overview(request: HttpRequest, context: dict[str, Any]) -> TemplateResponse:
    """Render the page at the root of the console."""
    may = {name: request.user.has_perm(permission) for name, permission in PART_PERMISSIONS.items()}
    context |= {"title": _("Overview"), "may": may, "target": TARGET_PERCENT}
    # A new hub has no figures yet: its setup steps are shown in their place.
    if not Event.objects.exists():
        context |= {"steps": list_setup_steps(request.user)}
        return TemplateResponse(request, "console/overview/page.html", context)
    now = read_clock()
    statuses = load_all_statuses() if may["connections"] else []
    sources = _source_summary(now, with_refusals=may["refusals"]) if may["sources"] else None
    context |= {
        "alerts": collect_alerts(request.user, statuses),
        "figures": load_figures(now) if may["events"] else None,
        "needing_attention": badges_of(request).get(FAILURES, 0) if may["events"] else 0,
        "connections": statuses,
        "sources": sources,
        "catch_ups": load_all_catch_ups(status.connection for status in statuses),
        "pairs": [pair_context(pair, now) for pair in load_pairs()] if may["pairs"] else [],
        **(_failure_context() if may["events"] else {}),
    }
    return TemplateResponse(request, "console/overview/page.html", context)


def _failure_context() -> dict[str, Any]:
    """Return the largest open groups as the list of failures shows them, and how much is in ignored groups."""
    tabs = {tab.name: tab for tab in failure_tabs()}
    rows = tabs[""].to_rows(with_sentences=False)[:MAX_REASONS]
    return {"reasons": rows, "ignored": sum(group.number for group in tabs["ignored"].groups)}


def _source_summary(now: datetime, *, with_refusals: bool) -> SourceSummary:
    """Load the sources by two statements: one index lookup for each source, and today's counts."""
    sources = read_source_activity()
    heard = [source.silent_since for source in sources if source.has_sent]
    refused = None
    if with_refusals:
        # Today is the day in the person's time zone, not in UTC.
        midnight = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
        today = RefusalCount.objects.filter(hour__gte=midnight, code="bad-signature")
        refused = today.aggregate(number=Sum("number"))["number"] or 0
    silent = tuple(source for source in sources if source.is_silent(now))
    return SourceSummary(len(sources), silent, max(heard, default=None), refused)
