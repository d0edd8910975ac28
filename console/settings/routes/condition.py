"""Pages that try a condition of a route: enter it with a reason, follow the try, and see who would leave."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from console.base.admin_pages import AdminWithPages, admin_page
from console.base.audit_trail import acting_person
from console.permissions import SEE_DIFFERENCES
from console.settings.routes.scope_forms import ConditionForm
from console.settings.routes.scope_words import (
    failure_text,
    number_sentence,
    others_sentence,
    result_sentences,
    result_style,
    scope_examples,
    scope_figures,
    source_sentence,
    state_pill,
)
from sync.models import ConditionTry, JobState, Route, newest_valid_try
from sync.scope_tries.requests import TryRefused, cancel_try, newest_try, request_try

# The parameter of a route's page that fills in the condition of a try.
TRY_PARAMETER = "condition_try"


@admin_page("<int:pk>/condition/", "condition")
def condition_view(route_admin: AdminWithPages, request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for a condition and a reason; on POST of this form, try the condition.

    The button of the route's form posts that form here: then its condition is filled in, and nothing is tried yet.
    """
    route = route_admin.get_changeable(request, pk)
    is_begin = "begin" in request.POST
    typed = request.POST.get("condition", route.condition)
    form = ConditionForm(request.POST) if is_begin else ConditionForm(initial={"condition": typed})
    if is_begin and form.is_valid():
        try:
            row = request_try(
                route, form.cleaned_data["condition"], acting_person(request), form.cleaned_data["reason"]
            )
        except TryRefused as refused:
            form.add_error("condition", str(refused))
        else:
            return redirect("admin:sync_route_condition_try", pk, row.uuid)
    context = {
        "title": _("Try a condition of %(route)s") % {"route": route},
        "route": route,
        "form": form,
        "newest": newest_try(route),
    }
    return route_admin.render_page(request, "console/settings/routes/condition.html", context)


@admin_page("<int:pk>/condition/<uuid:key>/", "condition_try")
def condition_try_view(route_admin: AdminWithPages, request: HttpRequest, pk: int, key: UUID) -> HttpResponse:
    """Show progress and result of a try; on POST, cancel it. Examples are ids only, for who may see those of
    comparisons: the audit log has the condition, which says what they contain.
    """
    if not route_admin.has_view_permission(request):
        raise PermissionDenied
    rows = ConditionTry.objects.select_related("route__source", "route__target", "identity", "requested_by")
    row = get_object_or_404(rows, uuid=key, route__id=pk)
    may_change = route_admin.has_change_permission(request, row.route)
    if request.method == "POST":
        if not may_change:
            raise PermissionDenied
        if cancel_try(row, acting_person(request)):
            messages.success(request, _("Cancelled. Nothing was changed."))
        return redirect("admin:sync_route_condition_try", pk, key)
    may_see = request.user.has_perm(SEE_DIFFERENCES)
    return route_admin.render_page(
        request, "console/settings/routes/condition_try.html", _try_context(row, may_change, may_see)
    )


def _try_context(row: ConditionTry, may_change: bool, may_see: bool) -> dict[str, Any]:
    route, is_done = row.route, row.state == JobState.DONE
    return {
        "title": _("Try of a condition"),
        "route": route,
        "row": row,
        "pill": state_pill(row),
        "figures": scope_figures(row),
        "sentences": [*result_sentences(row, route), number_sentence(row)] if is_done else [],
        "style": result_style(row),
        "remarks": (others_sentence(row), source_sentence(row)) if is_done else (),
        "problem": failure_text(row),
        "examples": scope_examples(row) if may_see else [],
        "hides_examples": not may_see and bool(row.counts),
        "may_change": may_change,
        "is_stored": route.condition == row.condition,
        "use_url": _use_url(row) if is_done and may_change else "",
    }


def _use_url(row: ConditionTry) -> str:
    """Return the address of the route's page with this condition; empty if it may not be saved any more."""
    tried = Route.objects.get(pk=row.route_id)
    tried.condition = row.condition
    if newest_valid_try(tried) is None:
        return ""
    return (
        f"{reverse('admin:sync_route_change', args=[row.route_id])}?{TRY_PARAMETER}={row.uuid}#id_condition"
    )


def fill_in_condition(route: Route, key: UUID) -> bool:
    """Replace the condition of a route, which is not saved, by that of one of its tries.

    Returns False if there is none, or the route has it already.
    """
    condition = (
        ConditionTry.objects.filter(uuid=key, route=route.pk).values_list("condition", flat=True).first()
    )
    if condition is None or condition == route.condition:
        return False
    route.condition = condition
    return True
