"""Pages that pause and resume a source or a route, each with a reason, for people who may change it."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from console.base.admin_pages import admin_page
from console.base.audit_trail import record_action
from console.base.audited_admin import AuditedAdmin
from console.base.forms import ReasonForm
from console.ui.outcome_texts import render_pill
from sync.deliveries import routes
from sync.models import Route
from sync.operations.pauses import RELEASED_AT_ONCE, count_on_hold, hold_waiting, pause_flow, resume_flow
from webhooks.models import Source

MAX_COUNTED = 10_000


def render_activity_pill(flow: Source | Route) -> SafeString:
    """Render the status of a source or a route: disabled, paused, releasing or enabled."""
    if not flow.is_enabled:
        return render_pill("quiet", "⊘", _("Disabled"))
    if flow.paused_at is not None:
        return render_pill("warn", "‖", _("Paused"))
    if flow.resumed_at is not None:
        return render_pill("warn", "↻", _("Releasing"))
    return render_pill("good", "✓", _("Enabled"))


def other_pauses(flow: Source | Route) -> list[Source | Route]:
    """Return what still holds deliveries after this source or route is resumed: the route's source, or routes of the
    source.
    """
    if isinstance(flow, Route):
        return [flow.source] if flow.source.paused_at is not None else []
    return list(flow.routes.filter(paused_at__isnull=False).select_related("source", "target"))


def count_waiting(flow: Source | Route) -> int:
    """Return how many deliveries the pause holds, at most `MAX_COUNTED`. Counts nothing if it was never paused or all
    are released.
    """
    return count_on_hold(flow, MAX_COUNTED) if flow.paused_at or flow.resumed_at else 0


@admin_page("<int:pk>/pause/", "pause")
def pause_view(flow_admin: AuditedAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for a reason; on POST, put the deliveries of this source or route on hold."""
    return _ask_for_reason(flow_admin, request, pk, _pause, (_("Pause %(what)s?"), _("Pause")))


@admin_page("<int:pk>/resume/", "resume")
def resume_view(flow_admin: AuditedAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for a reason; on POST, resume the deliveries of this source or route."""
    return _ask_for_reason(flow_admin, request, pk, _resume, (_("Resume %(what)s?"), _("Resume")))


def _ask_for_reason(
    flow_admin: AuditedAdmin,
    request: HttpRequest,
    pk: int,
    decide: Callable[[AuditedAdmin, HttpRequest, Source | Route, str], None],
    title_and_button: tuple[str, str],
) -> HttpResponse:
    flow = flow_admin.get_changeable(request, pk)
    form, (title, button) = ReasonForm(request.POST or None), title_and_button
    if request.method == "POST" and form.is_valid():
        decide(flow_admin, request, flow, form.cleaned_data["reason"])
        return redirect(f"admin:{flow_admin.url_name('change')}", pk)
    context: dict[str, Any] = {
        "title": title % {"what": flow},
        "button": button,
        "what": flow,
        "page": f"admin:{flow_admin.url_name('change')}",
        "is_source": isinstance(flow, Source),
        "held": (number := count_on_hold(flow, MAX_COUNTED)),
        "is_more": number == MAX_COUNTED,
        "others": other_pauses(flow),
        "pace": f"{RELEASED_AT_ONCE * 30:,}",
        "reason_form": form,
    }
    return flow_admin.render_page(request, "console/settings/pause.html", context)


def _pause(flow_admin: AuditedAdmin, request: HttpRequest, flow: Source | Route, reason: str) -> None:
    with transaction.atomic():
        is_new = pause_flow(flow, reason, request.user)
        if is_new:
            record_action(
                request,
                flow_admin.audit_stream(flow.pk),
                f"{flow_admin.audit_kind}.paused",
                {"reason": reason},
            )
    if not is_new:
        messages.warning(request, _("It was already paused. Nothing was changed."))
        return
    # Other processes notice within a second; this one must not deliver from its cache until then.
    routes.resolved_routes.invalidate()
    hold_waiting()
    messages.success(request, _("Paused. Incoming events are stored and wait."))


def _resume(flow_admin: AuditedAdmin, request: HttpRequest, flow: Source | Route, reason: str) -> None:
    with transaction.atomic():
        is_new = resume_flow(flow)
        if is_new:
            record_action(
                request,
                flow_admin.audit_stream(flow.pk),
                f"{flow_admin.audit_kind}.resumed",
                {"reason": reason},
            )
    routes.resolved_routes.invalidate()
    if is_new:
        # Workers release them in rounds of two seconds.
        text = _("Resumed. Waiting deliveries are released at %(pace)s per minute.")
        messages.success(request, text % {"pace": f"{RELEASED_AT_ONCE * 30:,}"})
    else:
        messages.warning(request, _("It was not paused. Nothing was changed."))
