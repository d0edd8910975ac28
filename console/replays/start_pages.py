"""Start a replay from the pages of events: one event, the ticked ones, or all that match the filters."""

from collections.abc import Mapping
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from console.base.admin_pages import AdminWithPages, admin_page
from console.base.audit_trail import client_address, require_staff_user
from console.base.forms import ReasonField, ReasonForm
from console.permissions import MAY_REPLAY
from console.replays.single import ReplayChoiceForm, may_use, read_token, single_replay_context
from console.replays.words import REASON_MISSING
from console.ui.event_filters import describe_filter, load_system_names
from sync.attempts.absence import ABSENCE_CODES
from sync.replays.event_selection import TooManyEvents
from sync.replays.filter_selection import select_by_filter
from sync.replays.requests import (
    ReplayAlreadyRequested,
    ReplayOptions,
    ReplayRefused,
    observes,
    request_replay,
    route_observes,
)
from sync.search.event_filter import resolve_filter
from sync.search.time_ranges import InvalidFilter
from webhooks.models import Event, State

COUNT_LIMIT = 1_000


@admin_page("replay/new/", "replay_new")
def new_view(event_admin: AdminWithPages, request: HttpRequest) -> HttpResponse:
    """Show how many events match the filters of the address. A POST selects them and leads on to confirm."""
    event_admin.require_permissions(request, MAY_REPLAY)
    params = (request.POST if request.method == "POST" else request.GET).dict()
    if request.method == "POST":
        return select_matching(request, params)
    try:
        event_filter = resolve_filter(params, timezone.now())
    except InvalidFilter:
        return _redirect_unusable_filter(request)
    count = event_filter.apply_to(Event.objects.all()).order_by().values("pk")[: COUNT_LIMIT + 1].count()
    context = {
        "title": _("Replay all matching events?"),
        "params": params,
        "conditions": describe_filter(event_filter.to_params(), load_system_names()),
        "event_count": count,
        "is_more": count > COUNT_LIMIT,
        "counted": COUNT_LIMIT,
    }
    return event_admin.render_page(request, "console/replays/new.html", context)


def select_matching(request: HttpRequest, params: Mapping[str, str], pace: str = "") -> HttpResponseRedirect:
    """Select the events that match these filters, and lead on to confirm, with this pace chosen."""
    try:
        replay = select_by_filter(require_staff_user(request), params)
    except InvalidFilter:
        return _redirect_unusable_filter(request)
    except TooManyEvents as error:
        messages.error(request, str(error))
        return redirect("admin:webhooks_event_changelist")
    address = reverse("admin:sync_personrequest_confirm", args=[replay.uuid])
    return redirect(f"{address}?{urlencode({'pace': pace})}" if pace else address)


@admin_page("<int:pk>/replay/", "replay")
def replay_view(event_admin: AdminWithPages, request: HttpRequest, pk: int) -> HttpResponse:
    """Show the effect of a replay of one event. A POST with a reason starts it."""
    event_admin.require_permissions(request, MAY_REPLAY)
    event = get_object_or_404(Event.objects.select_related("source", "payload__subject"), pk=pk)
    if request.method == "POST" and "token" not in request.POST:
        return redirect("admin:webhooks_event_replay", pk)  # the button of the event's page
    # Checked before the choice is read: nothing can be chosen for an event that is held. After an absence that was
    # not proven, a replay looks again.
    if event.state == State.HELD and event.code not in ABSENCE_CODES:
        return _held_page(event_admin, request, event)
    if observes(event):
        messages.error(request, route_observes())
        return redirect("admin:webhooks_event_change", pk)
    choice = ReplayChoiceForm(request.POST if request.method == "POST" else request.GET).to_choice()
    if not may_use(request, event, choice):
        raise PermissionDenied
    field = ReasonField(label=_("Reason"), error_messages=REASON_MISSING)
    form = ReasonForm(request.POST if request.method == "POST" else None, field=field)
    if request.method == "POST" and form.is_valid():
        return _start_replay(request, event, choice, form.cleaned_data["reason"])
    context = single_replay_context(request, event, choice, form)
    return event_admin.render_page(request, "console/replays/single.html", context)


def _held_page(event_admin: AdminWithPages, request: HttpRequest, event: Event) -> HttpResponse:
    """Show why a held event is not replayed: another attempt would only be held again."""
    context = {
        "title": _("Held for approval"),
        "event": event,
        "route": event.deliveries.filter(state=State.HELD).values_list("route", flat=True).first(),
        "may_look": request.user.has_perm("sync.view_delivery"),
    }
    return event_admin.render_page(request, "console/replays/held.html", context)


def _start_replay(
    request: HttpRequest, event: Event, choice: ReplayOptions, reason: str
) -> HttpResponseRedirect:
    key = read_token(request.POST["token"], event)
    if key is None:
        messages.error(request, _("This page has expired. Check the preview again."))
        return redirect("admin:webhooks_event_replay", event.pk)
    try:
        replay = request_replay(
            [event],
            by=require_staff_user(request),
            reason=reason,
            key=key,
            address=client_address(request),
            options=choice,
        )
    except ReplayAlreadyRequested as error:
        messages.warning(request, str(error))
    except ReplayRefused as error:
        messages.error(request, str(error))
        return redirect("admin:webhooks_event_replay", event.pk)
    else:
        text = _("Replaying now.") if replay.deliveries else _("Nothing was sent: no route for this event.")
        messages.success(request, text)
    return redirect("admin:webhooks_event_change", event.pk)


def _redirect_unusable_filter(request: HttpRequest) -> HttpResponseRedirect:
    messages.error(request, _("The filters in this address are invalid. Choose them again."))
    return redirect("admin:webhooks_event_changelist")
