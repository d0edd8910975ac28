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

from console.failures.by_reason import failing_reasons
from console.overview.alerts import alerts
from console.overview.figures import TARGET, figures_at, needing_somebody
from console.overview.first_steps import first_steps
from console.settings.connections.connection_status import load_all_statuses
from console.ui.links import replay_form_url
from database.clock import read_clock
from sync.models import RefusalCount
from sync.monitoring.health_figures import SourceFigure, enabled_sources
from webhooks.models import Event

MAY = {
    "events": "webhooks.view_event",
    "connections": "sync.view_connection",
    "sources": "webhooks.view_source",
    "refusals": "webhooks.view_refusal",
    "groups": "sync.view_failuregroup",
    "replay": "webhooks.replay_event",
}


@dataclass(frozen=True, slots=True)
class Sources:
    """Who sends. `silent` have sent nothing for longer than they may; `refused` are wrong signatures of today."""

    number: int
    silent: tuple[SourceFigure, ...]
    last_at: datetime | None
    refused: int | None

    @property
    def sending(self) -> int:
        return self.number - len(self.silent)


def overview(request: HttpRequest, context: dict[str, Any]) -> TemplateResponse:
    """The page at the console's root."""
    may = {name: request.user.has_perm(permission) for name, permission in MAY.items()}
    context |= {"title": _("Overview"), "may": may, "target": TARGET}
    if not Event.objects.exists():
        context |= {"steps": first_steps(request.user)}
        return TemplateResponse(request, "console/overview/page.html", context)
    now = read_clock()
    shown = load_all_statuses() if may["connections"] else []
    context |= {
        "alerts": alerts(request.user, shown),
        "figures": figures_at(now) if may["events"] else None,
        "needing_somebody": needing_somebody() if may["events"] and may["groups"] else 0,
        "connections": shown,
        "sources": _sources(now, with_refusals=may["refusals"]) if may["sources"] else None,
        **(_failing(now) if may["events"] else {}),
    }
    return TemplateResponse(request, "console/overview/page.html", context)


def _failing(now: datetime) -> dict[str, Any]:
    found = failing_reasons(now)
    reasons = [{"row": each, "replay": replay_form_url(each.query)} for each in found.reasons]
    return {"reasons": reasons, "ignored": found.ignored}


def _sources(now: datetime, *, with_refusals: bool) -> Sources:
    """Two statements: one look into an index for each source, and the counts of today."""
    sources = enabled_sources()
    heard = [each.heard_at for each in sources if each.has_sent]
    refused = None
    if with_refusals:
        midnight = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
        today = RefusalCount.objects.filter(hour__gte=midnight, code="bad-signature")
        refused = today.aggregate(number=Sum("number"))["number"] or 0
    silent = tuple(each for each in sources if each.is_silent(now))
    return Sources(len(sources), silent, max(heard, default=None), refused)
