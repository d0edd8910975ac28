"""List events with exact search and filters, and show one event on one page."""

from typing import Any
from urllib.parse import parse_qsl, urlencode

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from config_schema.codes.reference import from_reference
from console.base.audit_trail import require_staff_user
from console.base.downloads import DownloadableListAdmin, download_buttons
from console.base.filtered_list import FilteredPageAdmin
from console.base.forms import parse_pk
from console.deliveries.manual_closing import close_view
from console.events.columns import choose_columns
from console.events.detail_page import build_event_page
from console.events.list_page import build_event_list, count_newer_events
from console.events.saved_views import remove_view, save_view
from console.payloads.reveal import reveal_view
from console.permissions import CONTENTS, MAY_CLOSE, MAY_EXPORT, MAY_REPLAY, MAY_SHARE
from console.replays.start_pages import new_view, replay_view, select_matching
from console.ui.event_filters import EVENT_FILTERS
from console.ui.event_names import event_name
from console.ui.keyset import PAGE_SIZE
from console.ui.links import entity_url
from exports.list_export import EVENT_EXPORT
from sync.replays.event_selection import select_events
from webhooks.models import Event, State, is_erased

_CLOSABLE = (State.DEAD, State.HELD, State.RETRYING)


@admin.register(Event)
class EventAdmin(FilteredPageAdmin, DownloadableListAdmin):
    """Events are read-only; a replay and closing are all that can be done with one."""

    pages = (new_view, replay_view, close_view, reveal_view, save_view, remove_view, choose_columns)
    filters = EVENT_FILTERS
    list_export = EVENT_EXPORT
    parse_public_id = staticmethod(from_reference)

    def render_list(self, request: HttpRequest) -> HttpResponse:
        """Show the list. A POST acts on the rows that were ticked."""
        if request.method == "POST":
            return self._replay_ticked(request)
        # An open page asks how many events have arrived since it was loaded.
        if "newer" in request.GET:
            query = self.filters.build_query(self.filters.read_params(request.GET))
            context = {"count": count_newer_events(request.GET), "query": query}
            return TemplateResponse(request, "console/ui/_newer_rows.html", context)
        context = {
            "title": _("Events"),
            "page": build_event_list(request),
            "may_export": request.user.has_perm(MAY_EXPORT),
            "may_replay": request.user.has_perm(MAY_REPLAY),
            "may_share": request.user.has_perm(MAY_SHARE),
            "download_buttons": download_buttons(request, self.list_export),
            "asked": request.GET.urlencode(),
        }
        return self.render_page(request, "console/events/list.html", context)

    def _replay_ticked(self, request: HttpRequest) -> HttpResponse:
        """Select the ticked events, or all that match if the form says so, and lead on to confirm."""
        if request.POST.get("action") != "replay_selected" or not request.user.has_perm(MAY_REPLAY):
            raise PermissionDenied
        if request.POST.get("select_across") == "1":
            return select_matching(request, request.GET.dict())
        # A page has no more rows, so a longer list was not sent by the page.
        ticked = map(parse_pk, request.POST.getlist("_selected_action")[:PAGE_SIZE])
        events = Event.objects.filter(pk__in=[pk for pk in ticked if pk is not None])
        keys = list(events.order_by("pk").values_list("pk", flat=True))
        if not keys:
            messages.warning(request, _("Select events first. Nothing was replayed."))
            return redirect(request.get_full_path())
        return redirect(
            "admin:sync_personrequest_confirm", select_events(require_staff_user(request), keys).uuid
        )

    def filtered_rows(self, request: HttpRequest) -> QuerySet[Any]:
        events = Event.objects.select_related("source").order_by("-received_at", "-pk")
        return self.filters.resolve_query(request.GET).apply_to(events)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Event]:
        # Contents are read only for people who may see them.
        related = ("source", "payload__subject") if request.user.has_perm(CONTENTS) else ("source",)
        return super().get_queryset(request).select_related(*related)

    def render_detail(self, request: HttpRequest, row: Event) -> HttpResponse:
        page = build_event_page(row, request)
        back = self.filters.build_query(dict(parse_qsl(request.GET.get("list", ""))))
        context = {
            "title": event_name(row.event_type, row.entity_type),
            "event_code": f"{row.event_type} {row.entity_type}",
            "subtitle": row.entity_id,
            "entity_url": entity_url(row.entity_type, row.entity_id),
            "list_query": back if back != "?" else "",
            "own_path": f"{request.path}?{urlencode({'list': back[1:]})}" if back != "?" else request.path,
            "may_close": request.user.has_perm(MAY_CLOSE) and page.state in _CLOSABLE,
            "may_download": request.user.has_perm(self.list_export.permission),
            "page": page,
            "may_read_audit": request.user.has_perm("audit.view_entry"),
            "may_erase": request.user.has_perm("sync.erase_subject"),
            "is_erased": is_erased(row.entity_id),
        }
        return self.render_page(request, "console/events/detail.html", context)
