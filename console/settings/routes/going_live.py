"""The pages on which a route goes live, and on which it observes again."""

from datetime import datetime
from typing import Any
from uuid import uuid4

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.base.admin_pages import AdminWithPages, admin_page
from console.base.audit_trail import client_address, require_staff_user
from console.base.forms import ReasonForm
from console.permissions import MAY_COMPARE, MAY_REPLAY, SEE_DIFFERENCES
from console.settings.routes.expected_changes import (
    ExpectedChanges,
    comparison_count,
    load_expected_changes,
)
from sync.comparisons.progress import measure_progress
from sync.comparisons.requests import ComparisonRefused, request_comparison
from sync.going_live.modes import (
    ComparisonOutdated,
    ModeChangeRefused,
    go_live,
    no_comparison_sentence,
    observe_again,
)
from sync.models import Comparison, ComparisonCause, DifferenceKind, Route

_RELATED = ("source", "identity", "target", "mapping")
# What is offered after a route went live. Removals are made equal by themselves, never with others.
_OFFERED = (
    (DifferenceKind.MISSING_RECORD, gettext_lazy("Create the missing records")),
    (DifferenceKind.DIFFERS, gettext_lazy("Update the records that differ")),
)


class ModeForm(ReasonForm):
    """Why the mode changes. `seen`: since when the route had the mode that the page has shown."""

    seen = forms.CharField(required=False, widget=forms.HiddenInput)

    @property
    def seen_at(self) -> datetime | None:
        """Return the time in `seen`. The form is valid."""
        return parse_datetime(self.cleaned_data["seen"])

    def clean_seen(self) -> str:
        text: str = self.cleaned_data["seen"]
        try:
            is_time = not text or parse_datetime(text) is not None
        except ValueError:
            is_time = False
        if not is_time:
            raise forms.ValidationError(_("Open the page again."))
        return text


class GoLiveForm(ModeForm):
    """The comparison whose numbers the page has shown, or a sentence that there is none."""

    comparison = forms.UUIDField(required=False, widget=forms.HiddenInput)
    sentence = forms.CharField(required=False, max_length=100, label=gettext_lazy("Confirmation"))


@admin_page("<int:pk>/live/", "live")
def live_view(route_admin: AdminWithPages, request: HttpRequest, pk: int) -> HttpResponse:
    """Show what a route would do. On POST, compare first, or let it go live."""
    route = _get_route(route_admin, request, pk)
    if request.method == "POST" and "compare" in request.POST:
        return _compare(request, route)
    form = GoLiveForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            return _go_live(request, route, form)
        except ModeChangeRefused as error:
            form.add_error(None, str(error))
            route = _get_route(route_admin, request, pk)
    return route_admin.render_page(
        request, "console/settings/routes/live.html", _live_context(request, route, form)
    )


@admin_page("<int:pk>/observe/", "observe")
def observe_view(route_admin: AdminWithPages, request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for a reason; on POST, let the route only observe."""
    route = _get_route(route_admin, request, pk)
    form = ModeForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            observe_again(
                route,
                by=require_staff_user(request),
                reason=given["reason"],
                seen=form.seen_at,
                address=client_address(request),
            )
        except ModeChangeRefused as error:
            messages.warning(request, str(error))
        else:
            messages.success(request, _("The route observes. Nothing is written to the target."))
        return redirect("admin:sync_route_change", pk)
    context = {
        "title": _("Observe only: %(route)s?") % {"route": route},
        "route": route,
        "mode_form": form,
        "seen": _seen(route),
    }
    return route_admin.render_page(request, "console/settings/routes/observe.html", context)


def _get_route(route_admin: AdminWithPages, request: HttpRequest, pk: int) -> Route:
    route = get_object_or_404(Route.objects.select_related(*_RELATED), pk=pk)
    if not route_admin.has_change_permission(request, route):
        raise PermissionDenied
    return route


def _compare(request: HttpRequest, route: Route) -> HttpResponse:
    if not request.user.has_perm(MAY_COMPARE):
        raise PermissionDenied
    try:
        request_comparison(
            route,
            cause=ComparisonCause.PERSON,
            by=require_staff_user(request),
            address=client_address(request),
        )
    except ComparisonRefused as error:
        messages.error(request, str(error))
    return redirect("admin:sync_route_live", route.pk)


def _go_live(request: HttpRequest, route: Route, form: GoLiveForm) -> HttpResponse:
    """Let the route go live. Raises ModeChangeRefused; compares again if the comparison has become too old."""
    given = form.cleaned_data
    try:
        go_live(
            route,
            by=require_staff_user(request),
            reason=given["reason"],
            comparison=given["comparison"],
            sentence=given["sentence"],
            seen=form.seen_at,
            address=client_address(request),
        )
    except ComparisonOutdated as error:
        if not request.user.has_perm(MAY_COMPARE):
            raise
        messages.warning(
            request,
            _("%(why)s The two systems are compared again. Then check the new numbers.") % {"why": error},
        )
        return _compare(request, route)
    messages.success(request, _("The route is live: its events are delivered from now on."))
    return redirect("admin:sync_route_live", route.pk)


def _live_context(request: HttpRequest, route: Route, form: GoLiveForm) -> dict[str, Any]:
    expected = load_expected_changes(route, timezone.now())
    may_compare = request.user.has_perm(MAY_COMPARE) and not expected.refusal and expected.running is None
    title = _("Let %(route)s go live?") if route.observes else _("%(route)s is live")
    return {
        "title": title % {"route": route},
        "route": route,
        "expected": expected,
        "mode_form": form,
        "seen": _seen(route),
        "sentence": no_comparison_sentence(),
        "may_compare": may_compare,
        "progress": _progress_text(expected.running) if expected.running is not None else "",
        **_offer(request, expected),
    }


def _seen(route: Route) -> str:
    return "" if route.mode_since is None else route.mode_since.isoformat()


def _progress_text(running: Comparison) -> str:
    progress = measure_progress(running, timezone.now())
    if progress.total is None:
        return f"{progress.done:,}"
    return _("%(count)s of %(total)s") % {"count": f"{progress.done:,}", "total": f"{progress.total:,}"}


def _offer(request: HttpRequest, expected: ExpectedChanges) -> dict[str, Any]:
    """Return what a live route is offered to make equal: kinds with their numbers. Empty without the permissions."""
    comparison = expected.comparison
    if comparison is None or expected.route.observes:
        return {"offered": []}
    return {
        "offered": [
            (kind.value, label, comparison_count(comparison, kind))
            for kind, label in _OFFERED
            if comparison.counts.get(kind)
        ],
        "may_equal": request.user.has_perms((MAY_REPLAY, SEE_DIFFERENCES)),
        "equal_key": uuid4(),
    }
