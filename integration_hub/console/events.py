"""The events: a list with exact search and filters, and one page that tells everything of one event."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from integration_hub.console.closing_pages import ClosingPages
from integration_hub.console.downloads import Downloadable
from integration_hub.console.event_filters import FILTERS, PARAMETERS
from integration_hub.console.event_page import CONTENTS, event_page
from integration_hub.console.event_search import Found, find_events
from integration_hub.console.evidence import EvidenceAdmin
from integration_hub.console.export_pages import MAY_EXPORT
from integration_hub.console.exports import EVENTS
from integration_hub.console.replay_pages import ReplayPages
from integration_hub.console.wording import moment, reason, state_mark
from webhooks.models import Event, State, is_erased
from webhooks.references import from_reference


class EventList(ChangeList):
    """The list, narrowed to what the searched term was taken for. `found` says what that is."""

    found: Found

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        queryset = super().get_queryset(request, exclude_parameters)
        self.found = find_events(self.query)
        return queryset.filter(self.found.condition)

    @property
    def without_filters(self) -> str:
        """The same search over everything."""
        return "?" + urlencode({"q": self.query})


@admin.register(Event)
class EventAdmin(ReplayPages, ClosingPages, EvidenceAdmin, Downloadable):
    """Read-only; replay is the one thing that can be done to an event."""

    export = EVENTS
    change_list_template = "console/event_list.html"
    list_display = ("state_column", "kind", "entity", "why", "source", "received")
    list_display_links = ("kind",)
    list_filter = FILTERS
    list_select_related = ("source",)
    parameters = PARAMETERS
    ordering = ("-received_at", "-id")
    search_fields = ("uuid",)
    search_help_text = "A reference, the source's event id, or an entity id, whole"

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        asked = {"may_export": request.user.has_perm(MAY_EXPORT), "asked": request.GET.urlencode()}
        return super().changelist_view(request, {**asked, **(extra_context or {})})

    def get_changelist(self, *_: Any, **__: Any) -> type[ChangeList]:
        return EventList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """`EventList` searches; Django's own way would compare in upper case and scan the table."""
        return queryset, False

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Event | None:
        """By key or by reference: an address can be put together from what people quote."""
        related = ("source", "payload__subject") if request.user.has_perm(CONTENTS) else ("source",)
        events = self.get_queryset(request).select_related(*related)
        try:
            return events.filter(uuid=from_reference(object_id)).first()
        except ValueError:
            is_key = object_id.isascii() and object_id.isdecimal() and len(object_id) < 19
            return events.filter(pk=int(object_id)).first() if is_key else None

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Everything of one event. It is only read: no form of Django's stands behind it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        event = self.get_object(request, unquote(object_id))
        if event is None:
            raise Http404(f"There is no event {object_id}")
        context = {
            **self.admin_site.each_context(request),
            "title": f"{event.event_type} {event.entity_type} {event.entity_id}",
            "page": event_page(event, request),
            "may_read_audit": request.user.has_perm("audit.view_entry"),
            "may_erase": request.user.has_perm("sync.erase_subject"),
            "is_erased": is_erased(event.entity_id),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "console/event.html", context)

    @admin.display(description="state")
    def state_column(self, event: Event) -> SafeString:
        return state_mark(event.state)

    @admin.display(description="event")
    def kind(self, event: Event) -> str:
        return f"{event.event_type} {event.entity_type}"

    @admin.display(description="entity")
    def entity(self, event: Event) -> SafeString:
        query = urlencode({"entity_id": event.entity_id})
        address = reverse("admin:webhooks_event_changelist")
        return format_html('<a href="{}?{}">{}</a>', address, query, event.entity_id)

    @admin.display(description="reason")
    def why(self, event: Event) -> str:
        """Why it ended so; what ended well needs no reason."""
        return (
            "" if event.state in (State.SUCCEEDED, State.UNCHANGED) else reason(event.state, event.code).title
        )

    @admin.display(description="received")
    def received(self, event: Event) -> str | SafeString:
        return moment(event.received_at)
