"""Make one entity equal, after it was compared: one click and a reason."""

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from console.base.audit_trail import client_address, require_staff_user
from console.base.forms import ReasonField
from console.permissions import MAY_COMPARE, MAY_REPLAY
from console.replays.words import REASON_MISSING
from console.ui.links import entity_url
from sync.comparisons.compare_now import comparable_routes
from sync.comparisons.make_equal import make_equal_at_once
from sync.models import Route
from sync.replays.requests import ReplayAlreadyRequested, ReplayRefused

PERMISSIONS = ("webhooks.view_event", MAY_COMPARE, MAY_REPLAY)


class EqualForm(forms.Form):
    """What is made equal, and why. `key`: of the page, so that a double click makes nothing twice."""

    type = forms.CharField(max_length=64, widget=forms.HiddenInput)
    id = forms.CharField(max_length=128, strip=False, widget=forms.HiddenInput)
    route = forms.IntegerField(min_value=1, widget=forms.HiddenInput)
    event_type = forms.ChoiceField(choices=[("UPDATE", ""), ("DELETE", "")], widget=forms.HiddenInput)
    key = forms.UUIDField(widget=forms.HiddenInput)
    reason = ReasonField(error_messages=REASON_MISSING)


def equal_view(request: HttpRequest) -> HttpResponseRedirect:
    """Make an entity equal on one route, and lead to its page. POST only."""
    if not request.user.has_perms(PERMISSIONS):
        raise PermissionDenied
    if request.method != "POST":
        messages.warning(request, _("This action needs the button. Nothing was changed; press it again."))
        return redirect("admin:webhooks_entity_compare")
    form = EqualForm(request.POST)
    if not form.is_valid():
        text = "; ".join(str(error) for errors in form.errors.values() for error in errors)
        messages.error(request, _("Nothing was changed: %(reason)s") % {"reason": text})
        return redirect("admin:webhooks_entity_compare")
    answer = form.cleaned_data
    _make_equal(request, _find_route(answer["type"], answer["route"]), form)
    return redirect(entity_url(answer["type"], answer["id"]))


def _find_route(entity_type: str, key: int) -> Route:
    routes = (resolved.route for resolved in comparable_routes(entity_type))
    found = next((route for route in routes if route.pk == key), None)
    if found is None:
        raise Http404("No such route")
    return found


def _make_equal(request: HttpRequest, route: Route, form: EqualForm) -> None:
    answer = form.cleaned_data
    try:
        make_equal_at_once(
            route,
            answer["id"],
            answer["event_type"],
            by=require_staff_user(request),
            reason=answer["reason"],
            key=answer["key"],
            address=client_address(request),
        )
    except ReplayAlreadyRequested as error:
        messages.warning(request, str(error))
    except ReplayRefused as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("Making it equal now."))
