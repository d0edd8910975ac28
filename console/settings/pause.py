"""Pages that pause and resume a source, a route or a connection, each with a reason, for people who may change it; a
connection also for those who may pause connections.
"""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.base.admin_pages import admin_page
from console.base.audit_trail import record_action
from console.base.audited_admin import AuditedAdmin
from console.base.forms import ReasonForm
from console.permissions import MAY_PAUSE_CONNECTION
from console.ui.outcome_texts import render_pill
from sync.deliveries import routes
from sync.models import Connection, Route
from sync.operations.pauses import (
    ACTIONS,
    RELEASED_AT_ONCE,
    Flow,
    count_on_hold,
    hold_waiting,
    pause_flow,
    resume_flow,
)

MAX_COUNTED = 10_000
# A week: who needs longer says so again.
MAX_HOURS = 168


class PauseForm(ReasonForm):
    """The reason of a pause, and when it ends by itself."""

    hours = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=MAX_HOURS,
        label=gettext_lazy("Resume by itself after (hours)"),
        help_text=gettext_lazy("Leave it empty to wait until someone resumes it."),
    )

    @property
    def ends_at(self) -> datetime | None:
        """Return when the pause ends by itself; None if a person ends it. The form is valid."""
        hours = self.cleaned_data["hours"]
        return timezone.now() + timedelta(hours=hours) if hours else None


def render_activity_pill(flow: Flow) -> SafeString:
    """Render the status of a source, a route or a connection: disabled, paused, releasing or enabled; and that a route
    observes.
    """
    if not (isinstance(flow, Route) and flow.observes):
        return _render_flow_pill(flow)
    observing = render_pill("quiet", "◎", _("Observing"))
    is_stopped = not flow.is_enabled or flow.paused_at is not None
    return format_html("{} {}", _render_flow_pill(flow), observing) if is_stopped else observing


def _render_flow_pill(flow: Flow) -> SafeString:
    if not flow.is_enabled:
        return render_pill("quiet", "⊘", _("Disabled"))
    if flow.paused_at is not None:
        return render_pill("warn", "‖", _("Paused"))
    if flow.resumed_at is not None:
        return render_pill("warn", "↻", _("Releasing"))
    return render_pill("good", "✓", _("Enabled"))


def other_pauses(flow: Flow) -> list[Flow]:
    """Return what still holds deliveries after this one is resumed: source and connections of a route, or routes of the
    source or connection.
    """
    if isinstance(flow, Route):
        return [other for other in (flow.source, flow.identity, flow.target) if other.paused_at is not None]
    routes = (
        Route.objects.filter(Q(identity=flow) | Q(target=flow))
        if isinstance(flow, Connection)
        else flow.routes
    )
    return list(routes.filter(paused_at__isnull=False).select_related("source", "target"))


def count_waiting(flow: Flow) -> int:
    """Return how many deliveries the pause holds, at most `MAX_COUNTED`. Counts nothing if it was never paused or all
    are released.
    """
    return count_on_hold(flow, MAX_COUNTED) if flow.paused_at or flow.resumed_at else 0


@admin_page("<int:pk>/pause/", "pause")
def pause_view(flow_admin: AuditedAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for a reason; on POST, put the deliveries of this source, route or connection on hold."""
    return _ask_for_reason(flow_admin, request, pk, PauseForm, (_("Pause %(what)s?"), _("Pause")))


@admin_page("<int:pk>/resume/", "resume")
def resume_view(flow_admin: AuditedAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for a reason; on POST, resume the deliveries of this source, route or connection."""
    return _ask_for_reason(flow_admin, request, pk, ReasonForm, (_("Resume %(what)s?"), _("Resume")))


def may_pause(flow_admin: AuditedAdmin, request: HttpRequest, flow: Flow) -> bool:
    """Return True if the person may pause and resume this source, route or connection."""
    if flow_admin.has_change_permission(request, flow):
        return True
    is_connection = isinstance(flow, Connection) and flow_admin.has_view_permission(request, flow)
    return is_connection and request.user.has_perm(MAY_PAUSE_CONNECTION)


def _ask_for_reason(
    flow_admin: AuditedAdmin,
    request: HttpRequest,
    pk: int,
    form_class: type[ReasonForm],
    title_and_button: tuple[str, str],
) -> HttpResponse:
    flow: Flow = get_object_or_404(flow_admin.model, pk=pk)
    if not may_pause(flow_admin, request, flow):
        raise PermissionDenied
    form, (title, button) = form_class(request.POST or None), title_and_button
    if request.method == "POST" and form.is_valid():
        if isinstance(form, PauseForm):
            _pause(flow_admin, request, flow, form)
        else:
            _resume(flow_admin, request, flow, form.cleaned_data["reason"])
        return redirect(f"admin:{flow_admin.url_name('change')}", pk)
    context: dict[str, Any] = {
        "title": title % {"what": flow},
        "button": button,
        "what": flow,
        "page": f"admin:{flow_admin.url_name('change')}",
        "kind": flow_admin.audit_kind,
        "held": (number := count_on_hold(flow, MAX_COUNTED)),
        "is_more": number == MAX_COUNTED,
        "others": other_pauses(flow),
        "pace": f"{RELEASED_AT_ONCE * 30:,}",
        "reason_form": form,
    }
    return flow_admin.render_page(request, "console/settings/pause.html", context)


def _pause(flow_admin: AuditedAdmin, request: HttpRequest, flow: Flow, form: PauseForm) -> None:
    reason, ends_at = form.cleaned_data["reason"], form.ends_at
    details = {"reason": reason, **({"until": ends_at.isoformat()} if ends_at else {})}
    with transaction.atomic():
        is_new = pause_flow(flow, reason, request.user, ends_at)
        if is_new:
            record_action(request, flow_admin.audit_stream(flow.pk), ACTIONS[type(flow)][0], details)
    if not is_new:
        messages.warning(request, _("It was already paused. Nothing was changed."))
        return
    # Other processes notice within a second; this one must not deliver from its cache until then.
    routes.resolved_routes.invalidate()
    hold_waiting()
    messages.success(request, _("Paused. Incoming events are stored and wait."))


def _resume(flow_admin: AuditedAdmin, request: HttpRequest, flow: Flow, reason: str) -> None:
    with transaction.atomic():
        is_new = resume_flow(flow)
        if is_new:
            record_action(
                request, flow_admin.audit_stream(flow.pk), ACTIONS[type(flow)][1], {"reason": reason}
            )
    routes.resolved_routes.invalidate()
    if is_new:
        # Workers release them in rounds of two seconds.
        text = _("Resumed. Waiting deliveries are released at %(pace)s per minute.")
        messages.success(request, text % {"pace": f"{RELEASED_AT_ONCE * 30:,}"})
    else:
        messages.warning(request, _("It was not paused. Nothing was changed."))
