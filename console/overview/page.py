"""The overview: how the hub does at one look. It reads counts and small tables only, the same number of them each time.

Each part is for those who may see what it is about; nobody else's statements are run.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Sum
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _

from console.failures.failure_reasons import summarize_failures
from console.overview.alerts import collect_alerts
from console.overview.figures import TARGET_PERCENT, count_unresolved_failures, load_figures
from console.overview.first_steps import list_setup_steps
from console.settings.connections.connection_status import load_all_statuses
from console.ui.links import replay_form_url
from database.clock import read_clock
from sync.models import RefusalCount
from sync.monitoring.health_figures import SourceFigure, enabled_sources
from webhooks.models import Event

PART_PERMISSIONS = {
    "events": "webhooks.view_event",
    "connections": "sync.view_connection",
    "sources": "webhooks.view_source",
    "refusals": "webhooks.view_refusal",
    "groups": "sync.view_failuregroup",
    "replay": "webhooks.replay_event",
}


@dataclass(frozen=True, slots=True)
class SourceSummary:
    """Who sends. `silent` have sent nothing for longer than they may; `refused` are wrong signatures of today."""

    number: int
    silent: tuple[SourceFigure, ...]
    last_at: datetime | None
    refused: int | None

    @property
    def sending(self) -> int:
        return self.number - len(self.silent)


def render_overview(request: HttpRequest, context: dict[str, Any]) -> TemplateResponse:
    """The page at the console's root."""
    may = {name: request.user.has_perm(permission) for name, permission in PART_PERMISSIONS.items()}
    context |= {"title": _("Overview"), "may": may, "target": TARGET_PERCENT}
    if not Event.objects.exists():
        context |= {"steps": list_setup_steps(request.user)}
        return TemplateResponse(request, "console/overview/page.html", context)
    now = read_clock()
    shown = load_all_statuses() if may["connections"] else []
    context |= {
        "alerts": collect_alerts(request.user, shown),
        "figures": load_figures(now) if may["events"] else None,
        "needing_somebody": count_unresolved_failures() if may["events"] and may["groups"] else 0,
        "connections": shown,
        "sources": _source_summary(now, with_refusals=may["refusals"]) if may["sources"] else None,
        **(_failure_context(now) if may["events"] else {}),
    }
    return TemplateResponse(request, "console/overview/page.html", context)


def _failure_context(now: datetime) -> dict[str, Any]:
    found = summarize_failures(now)
    reasons = [{"row": each, "replay": replay_form_url(each.query)} for each in found.reasons]
    return {"reasons": reasons, "ignored": found.ignored}


def _source_summary(now: datetime, *, with_refusals: bool) -> SourceSummary:
    """Two statements: one look into an index for each source, and the counts of today."""
    sources = enabled_sources()
    heard = [each.heard_at for each in sources if each.has_sent]
    refused = None
    if with_refusals:
        midnight = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
        today = RefusalCount.objects.filter(hour__gte=midnight, code="bad-signature")
        refused = today.aggregate(number=Sum("number"))["number"] or 0
    silent = tuple(each for each in sources if each.is_silent(now))
    return SourceSummary(len(sources), silent, max(heard, default=None), refused)
