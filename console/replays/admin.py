"""Replays: who asked, when, why, and what came of it; of many events also what is to come of it."""

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
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.base.audit_trail import client_address, record_action, require_staff_user
from console.base.downloads import open_stream_slot, redirect_too_many_streams
from console.base.filtered_list import FilteredListAdmin
from console.base.post_only import post_only
from console.base.read_only_admin import DetailPageMixin, get_by_public_id_or_pk
from console.permissions import MAY_APPROVE_REPLAY, MAY_DOWNLOAD, MAY_REPLAY
from console.replays.confirm import TermsForm, begin_replay, confirm_context
from console.replays.list_page import KindFilter, ReplayColumns, kind_tabs
from console.replays.members import csv_rows, filter_members, members_context, parse_member_filter
from console.replays.progress import progress_context
from console.replays.results import attach_results, is_single, result_rows
from console.ui.filter_text import load_system_names
from sync.models import Member, MemberState, Pace, Replay, ReplayState
from sync.replays.decisions import Person, approve, decline, go_on, pause, stop
from sync.replays.event_set import choose
from sync.replays.requests import AlreadyRequested, NotReplayable

_DRAFTS = (ReplayState.CHOOSING, ReplayState.CHOSEN)


class PaceForm(forms.Form):
    """How fast a paused replay goes on."""

    pace = forms.ChoiceField(choices=[(Pace.GENTLE, ""), (Pace.NORMAL, "")])


@admin.register(Replay)
class ReplayAdmin(ReplayColumns, DetailPageMixin, FilteredListAdmin):
    """A replay is begun from the events, a decision from what is held. The list is of replays unless the filter asks
    for decisions; one that nobody has confirmed yet is in no list.
    """

    change_list_template = "console/replays/list.html"
    list_display = ("what", "reason", "person", "requested", "progress", "state_column")
    list_display_links = ("what",)
    list_select_related = ("requested_by",)
    list_filter = (KindFilter,)
    allowed_lookups = frozenset({KindFilter.parameter_name})
    ordering = ("-id",)
    actions = None
    empty_text = gettext_lazy(
        "Nothing was replayed yet. A replay begins on the page of an event, or in the list of events."
    )
    no_match_text = gettext_lazy("Nothing of this was decided yet.")

    @property
    def media(self) -> forms.Media:
        return super().media + forms.Media(css={"all": ["console/replays.css"]})

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        actions = [
            path(
                f"<uuid:key>/{action}/",
                wrap(self.action_view),
                {"action": action},
                name=f"sync_replay_{action}",
            )
            for action in (*_ACTIONS, "continue", "again")
        ]
        return [
            path("<uuid:key>/confirm/", wrap(self.confirm_view), name="sync_replay_confirm"),
            path("<uuid:key>/events/", wrap(self.members_view), name="sync_replay_members"),
            *actions,
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Replay]:
        return super().get_queryset(request).exclude(state__in=_DRAFTS)

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Replay | None:
        """By key or by UUID, which the audit log knows."""
        replays = self.get_queryset(request).select_related("requested_by", "paused_by", "decided_by")
        found: Replay | None = get_by_public_id_or_pk(replays, object_id, UUID)
        return found

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """The one filter as tabs; each row of one event with what came of it."""
        found = super().get_changelist_instance(request)
        found.tabs, found.chips = list(kind_tabs(found)), []
        found.result_list = list(found.result_list)
        attach_results(found.result_list)
        systems = load_system_names()
        for each in found.result_list:
            each.systems = systems
        return found

    def render_detail(self, request: HttpRequest, row: Replay) -> HttpResponse:
        """How far one of many events has come; of all others, what came of it."""
        if row.is_bulk:
            return self.render_page(request, "console/replays/progress.html", progress_context(request, row))
        attach_results([row])
        told = self.what(row)
        title = _("Replay of %(event)s") % {"event": told} if is_single(row) else told
        context = {"title": title, "replay": row, "rows": result_rows(row)}
        return self.render_page(request, "console/replays/results.html", context)

    def confirm_view(self, request: HttpRequest, key: UUID) -> HttpResponse:
        """What will happen; on POST with a reason, let it begin."""
        self.require_permissions(request, MAY_REPLAY)
        replay = Replay.objects.filter(uuid=key, requested_by=request.user.pk).first()
        if replay is None:
            messages.error(request, _("This choice is not kept any more: choose the events again."))
            return redirect("admin:webhooks_event_changelist")
        if replay.state not in _DRAFTS:
            messages.warning(request, _("This was started already; nothing was started twice."))
            return redirect("admin:sync_replay_change", replay.pk)
        form = TermsForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            return self._begin_replay(request, replay, form)
        return self.render_page(
            request, "console/replays/confirm.html", confirm_context(request, replay, form)
        )

    def _begin_replay(self, request: HttpRequest, replay: Replay, form: TermsForm) -> HttpResponseRedirect:
        try:
            replay = begin_replay(request, replay, form)
        except AlreadyRequested as error:
            messages.warning(request, str(error))
        except NotReplayable as error:
            messages.error(request, str(error))
            return redirect("admin:sync_replay_confirm", replay.uuid)
        else:
            if replay.state == ReplayState.AWAITING:
                messages.success(request, _("Asked for. It begins when a second person approves."))
        return redirect("admin:sync_replay_change", replay.pk)

    def members_view(self, request: HttpRequest, key: UUID) -> HttpResponseBase:
        """The events of one; of a set that is not confirmed, for the one who chose it."""
        self.require_permissions(request, "webhooks.view_event")
        replay = self._get_replay(request, key)
        context = members_context(request, replay)
        if request.GET.get("format") != "csv":
            context["may_download"] = request.user.has_perm(MAY_DOWNLOAD)
            return self.render_page(request, "console/replays/members.html", context)
        self.require_permissions(request, MAY_DOWNLOAD)
        state, why = parse_member_filter(request)
        rows = filter_members(replay, state, why)

        def begin() -> None:
            with transaction.atomic():
                details = {"count": rows.count(), "of": replay.total}
                record_action(request, replay.stream, "replay.downloaded", details)

        lines = open_stream_slot(csv_rows(rows), "", begin)
        if lines is None:
            return redirect_too_many_streams(request, "./?" + urlencode({"member": state, "why": why}))
        name = f"replay-{replay.pk}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8", headers=headers)

    def _get_replay(self, request: HttpRequest, key: UUID) -> Replay:
        replay = Replay.objects.filter(uuid=key).first()
        is_own = replay is not None and replay.requested_by_id == request.user.pk
        if replay is None or (replay.state in _DRAFTS and not is_own):
            raise Http404(f"There is no replay {key}")
        return replay

    @post_only(back_to="admin:sync_replay_change", key="key")
    def action_view(self, request: HttpRequest, key: UUID, action: str) -> HttpResponse:
        """Pause, continue, stop, approve, decline, or choose what failed again."""
        decides = action in ("approve", "decline")
        if not any(
            map(request.user.has_perm, (MAY_REPLAY, MAY_APPROVE_REPLAY) if decides else (MAY_REPLAY,))
        ):
            raise PermissionDenied
        replay = self._get_replay(request, key)
        is_own = replay.requested_by_id == request.user.pk
        permission = MAY_APPROVE_REPLAY if decides and not is_own else MAY_REPLAY
        self.require_permissions(request, permission)
        if action == "again":
            return self._select_failed(request, replay)
        person = Person(require_staff_user(request), client_address(request))
        try:
            is_done = self._run_action(request, replay, person, action)
        except NotReplayable as error:
            messages.error(request, str(error))
        else:
            if not is_done:
                messages.warning(request, _("That was not possible any more: look at how it stands."))
        return redirect("admin:sync_replay_change", replay.pk)

    def _run_action(self, request: HttpRequest, replay: Replay, person: Person, action: str) -> bool:
        if action == "continue":
            form = PaceForm(request.POST)
            return go_on(replay, person, Pace(form.cleaned_data["pace"]) if form.is_valid() else Pace.GENTLE)
        return _ACTIONS[action](replay, person)

    def _select_failed(self, request: HttpRequest, replay: Replay) -> HttpResponseRedirect:
        failed = Member.objects.filter(replay=replay, state=MemberState.FAILED)
        try:
            chosen = choose(require_staff_user(request), list(failed.values_list("event_id", flat=True)))
        except NotReplayable as error:
            messages.error(request, str(error))
            return redirect("admin:sync_replay_change", replay.pk)
        return redirect("admin:sync_replay_confirm", chosen.uuid)


_ACTIONS = {"pause": pause, "stop": stop, "approve": approve, "decline": decline}
