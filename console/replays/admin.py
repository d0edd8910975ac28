"""Show replays with requester, reason and result, and control the ones that send many events."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.entries.acting_person import ActingPerson
from console.base.admin_pages import admin_page
from console.base.audit_trail import acting_person, record_action, request_actor, require_staff_user
from console.base.downloads import (
    exceeds_limit,
    open_stream_slot,
    redirect_beyond_limit,
    redirect_too_many_streams,
)
from console.base.filtered_list import FilteredListAdmin
from console.permissions import MAY_APPROVE_REPLAY, MAY_DOWNLOAD, MAY_REPLAY
from console.replays.confirm import TermsForm, begin_replay, confirm_context
from console.replays.list_page import KindFilter, ReplayColumns, kind_tabs
from console.replays.members import csv_rows, filter_members, members_context, parse_member_filter
from console.replays.progress import progress_context, still_failed_members, unsent_members
from console.replays.results import attach_results, is_single, result_rows
from console.replays.words import RESUME_LABELS
from console.ui.event_filters import load_system_names
from logins.fresh_login import require_fresh_login
from sync.models import (
    PersonRequest,
    PersonRequestKind,
    PersonRequestMember,
    PersonRequestState,
    ReplayPace,
)
from sync.replays.decisions import (
    approve_replay,
    decline_replay,
    pause_replay,
    resume_replay,
    stop_replay,
)
from sync.replays.event_selection import select_events
from sync.replays.requests import ReplayAlreadyRequested, ReplayRefused

_DRAFTS = (PersonRequestState.CHOOSING, PersonRequestState.CHOSEN)


class PaceForm(forms.Form):
    """The pace at which a paused replay continues."""

    pace = forms.ChoiceField(choices=list(RESUME_LABELS.items()))


# What another replay can send of a replay that has ended.
_MEMBERS_TO_SEND = {"again": still_failed_members, "rest": unsent_members}
_ACTIONS = {"pause": pause_replay, "stop": stop_replay, "approve": approve_replay, "decline": decline_replay}


def _action_page(action: str) -> Callable[..., HttpResponse]:
    @admin_page(f"<uuid:key>/{action}/", action, button_on="change")
    def action_view(replay_admin: "ReplayAdmin", request: HttpRequest, key: UUID) -> HttpResponse:
        return replay_admin.run_action(request, key, action)

    return action_view


@admin.register(PersonRequest)
class ReplayAdmin(ReplayColumns, FilteredListAdmin):
    """Lists replays, or decisions on held deliveries if the filter asks for them.

    A replay is started from the events, a decision from the held deliveries. Replays that are not confirmed are not
    listed.
    """

    pages = tuple(map(_action_page, (*_ACTIONS, "continue", "again", "rest")))
    change_list_template = "console/replays/list.html"
    list_display = ("what", "reason", "person", "requested", "progress", "state_column")
    list_display_links = ("what",)
    list_select_related = ("requested_by", "route__identity", "route__target")
    list_filter = (KindFilter,)
    allowed_lookups = frozenset({KindFilter.parameter_name})
    detail_related = ("requested_by", "paused_by", "decided_by", "route__identity", "route__target")
    parse_public_id = UUID
    ordering = ("-id",)
    actions = None
    empty_text = gettext_lazy("No replays yet. Start one on the page of an event or in the event list.")
    no_match_text = gettext_lazy("No decisions yet.")

    @property
    def media(self) -> forms.Media:
        return super().media + forms.Media(css={"all": ["console/replays.css"]})

    def get_queryset(self, request: HttpRequest) -> QuerySet[PersonRequest]:
        return super().get_queryset(request).exclude(state__in=_DRAFTS)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Show the one filter as tabs, and add results to the rows of single replays."""
        changelist = super().get_changelist_instance(request)
        changelist.tabs, changelist.chips = list(kind_tabs(changelist)), []
        changelist.result_list = list(changelist.result_list)
        attach_results(changelist.result_list)
        systems = load_system_names()
        for replay in changelist.result_list:
            replay.systems = systems
        return changelist

    def render_detail(self, request: HttpRequest, row: PersonRequest) -> HttpResponse:
        """Show the progress of a bulk replay, or the results of any other."""
        if row.is_bulk:
            return self.render_page(request, "console/replays/progress.html", progress_context(request, row))
        attach_results([row])
        name = self.what(row)
        is_replay = is_single(row) and not row.makes_equal
        title = _("Replay of %(event)s") % {"event": name} if is_replay else name
        kind_query = "" if row.kind == PersonRequestKind.REPLAY else f"?kind={row.kind}"
        context = {"title": title, "replay": row, "rows": result_rows(row), "kind_query": kind_query}
        return self.render_page(request, "console/replays/results.html", context)

    @admin_page("<uuid:key>/confirm/", "confirm")
    def confirm_view(self, request: HttpRequest, key: UUID) -> HttpResponse:
        """Show the effect of a bulk replay. A POST with a reason starts it."""
        self.require_permissions(request, MAY_REPLAY)
        own = PersonRequest.objects.filter(uuid=key, requested_by=request.user.pk)
        replay = own.select_related("route__identity", "route__target").first()
        if replay is None:
            messages.error(request, _("Your selection has expired. Select the events again."))
            return redirect("admin:webhooks_event_changelist")
        if replay.state not in _DRAFTS:
            messages.warning(request, _("This replay was already started. Nothing was started twice."))
            return redirect("admin:sync_personrequest_change", replay.pk)
        form = TermsForm(
            request.POST if request.method == "POST" else None,
            initial={"pace": request.GET.get("pace")},
        )
        if request.method == "POST" and form.is_valid():
            return self._begin_replay(request, replay, form)
        return self.render_page(
            request, "console/replays/confirm.html", confirm_context(request, replay, form)
        )

    def _begin_replay(
        self, request: HttpRequest, replay: PersonRequest, form: TermsForm
    ) -> HttpResponseRedirect:
        try:
            replay = begin_replay(request, replay, form)
        except ReplayAlreadyRequested as error:
            messages.warning(request, str(error))
        except ReplayRefused as error:
            messages.error(request, str(error))
            return redirect("admin:sync_personrequest_confirm", replay.uuid)
        else:
            if replay.state == PersonRequestState.AWAITING:
                messages.success(request, _("Requested. It starts when a second person approves it."))
        return redirect("admin:sync_personrequest_change", replay.pk)

    @admin_page("<uuid:key>/events/", "members")
    def members_view(self, request: HttpRequest, key: UUID) -> HttpResponseBase:
        """List the events of a bulk replay. Before it is confirmed, only its requester may see them."""
        self.require_permissions(request, "webhooks.view_event")
        replay = self._get_replay(request, key)
        context = members_context(request, replay)
        if request.GET.get("format") != "csv":
            context["may_download"] = request.user.has_perm(MAY_DOWNLOAD)
            return self.render_page(request, "console/replays/members.html", context)
        self.require_permissions(request, MAY_DOWNLOAD)
        require_fresh_login(request)
        state, why = parse_member_filter(request)
        rows = filter_members(replay, state, why)
        page = "./?" + urlencode({"member": state, "why": why})
        if exceeds_limit(rows):
            return redirect_beyond_limit(request, page)

        # Called only if a slot for streaming is free: a refused download leaves no audit entry.
        def begin() -> None:
            with transaction.atomic():
                details = {"count": rows.count(), "of": replay.total}
                record_action(request, replay.stream, "replay.downloaded", details)

        lines = open_stream_slot(csv_rows(rows, request_actor(request)), "", begin)
        if lines is None:
            return redirect_too_many_streams(request, page)
        name = f"replay-{replay.pk}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8", headers=headers)

    def _get_replay(self, request: HttpRequest, key: UUID) -> PersonRequest:
        replay = PersonRequest.objects.filter(uuid=key).first()
        is_own = replay is not None and replay.requested_by_id == request.user.pk
        # A replay that is not confirmed exists for its requester only.
        if replay is None or (replay.state in _DRAFTS and not is_own):
            raise Http404(f"There is no replay {key}")
        return replay

    def run_action(self, request: HttpRequest, key: UUID, action: str) -> HttpResponse:
        """Pause, continue, stop, approve or decline a replay, or select its failed or unsent events for another one."""
        decides = action in ("approve", "decline")
        if not any(
            map(request.user.has_perm, (MAY_REPLAY, MAY_APPROVE_REPLAY) if decides else (MAY_REPLAY,))
        ):
            raise PermissionDenied
        replay = self._get_replay(request, key)
        is_own = replay.requested_by_id == request.user.pk
        # Declining one's own replay withdraws it, which needs no permission to approve.
        permission = MAY_APPROVE_REPLAY if decides and not is_own else MAY_REPLAY
        self.require_permissions(request, permission)
        if action in _MEMBERS_TO_SEND:
            return self._select_members(request, replay, _MEMBERS_TO_SEND[action](replay))
        person = acting_person(request)
        try:
            is_done = self._run_action(request, replay, person, action)
        except ReplayRefused as error:
            messages.error(request, str(error))
        else:
            if not is_done:
                messages.warning(request, _("This is no longer possible. Check the current status below."))
        return redirect("admin:sync_personrequest_change", replay.pk)

    def _run_action(
        self, request: HttpRequest, replay: PersonRequest, person: ActingPerson, action: str
    ) -> bool:
        if action == "continue":
            form = PaceForm(request.POST)
            return resume_replay(
                replay,
                person,
                ReplayPace(form.cleaned_data["pace"]) if form.is_valid() else ReplayPace.GENTLE,
            )
        return _ACTIONS[action](replay, person)

    def _select_members(
        self, request: HttpRequest, replay: PersonRequest, members: QuerySet[PersonRequestMember]
    ) -> HttpResponseRedirect:
        events = members.values_list("event_id", flat=True)
        try:
            chosen = select_events(require_staff_user(request), list(events))
        except ReplayRefused as error:
            messages.error(request, str(error))
            return redirect("admin:sync_personrequest_change", replay.pk)
        return redirect("admin:sync_personrequest_confirm", chosen.uuid)
