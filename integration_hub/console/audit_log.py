"""The audit log's pages: to read, to search, to download; never to change."""

import json
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db import connection
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from audit.finding import by_people, of_action
from audit.models import Entry
from audit.standing import standing
from integration_hub.console.actions import ACTIONS, phrase
from integration_hub.console.downloads import Downloadable
from integration_hub.console.exports import ENTRIES
from integration_hub.console.naming import Named, name_entries
from integration_hub.console.paging import BoundedPaginator
from sync.models import Delivery
from webhooks.models import Event
from webhooks.references import from_reference, to_reference

MOST_EVENTS = 200
_PARAMETERS = ("action", "who", "hours")
_KINDS = {"person": "people", "source": "sources", "system": "the hub itself"}
_PERIODS = {"1": "last hour", "24": "last 24 hours", "168": "last 7 days", "720": "last 30 days"}


class ActionFilter(admin.SimpleListFilter):
    """By what was done, from the table of words, never from the rows."""

    title = "action"
    parameter_name = "action"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        return sorted(ACTIONS.items())

    def queryset(self, _: HttpRequest, queryset: QuerySet[Entry]) -> QuerySet[Entry]:
        action = self.value()
        return of_action(queryset, action) if action else queryset


class ActorFilter(admin.SimpleListFilter):
    """By who did it: people, sources, or the hub."""

    title = "who"
    parameter_name = "who"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        return list(_KINDS.items())

    def queryset(self, _: HttpRequest, queryset: QuerySet[Entry]) -> QuerySet[Entry]:
        if self.value() == "system":
            return queryset.filter(actor="system")
        if self.value() == "person":
            return by_people(queryset, connection.vendor)
        return queryset.filter(actor__startswith=f"{self.value()}:") if self.value() else queryset


class PeriodFilter(admin.SimpleListFilter):
    """By when it happened."""

    title = "when"
    parameter_name = "hours"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        return list(_PERIODS.items())

    def queryset(self, _: HttpRequest, queryset: QuerySet[Entry]) -> QuerySet[Entry]:
        hours = self.value()
        if hours not in _PERIODS:
            return queryset
        return queryset.filter(at__gte=timezone.now() - timedelta(hours=int(hours)))


class EntryList(ChangeList):
    """A page of entries with the names of everybody and everything on it."""

    names: dict[int, Named]

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        self.names = name_entries(self.result_list)
        for entry in self.result_list:
            entry.named = self.names[entry.pk]


@admin.register(Entry)
class EntryAdmin(Downloadable):
    """Who did what, about what, when."""

    export = ENTRIES
    change_list_template = "console/entry_list.html"
    list_display = ("when", "who", "what", "about", "code")
    list_display_links = ("when",)
    list_filter = (ActionFilter, ActorFilter, PeriodFilter)
    list_per_page = 50
    ordering = ("-at", "-id")
    sortable_by = ()
    search_fields = ("stream",)
    search_help_text = "A stream (source, person, delivery…) or the reference of an event, whole"
    show_full_result_count = False
    paginator = BoundedPaginator
    actions = None
    fields = ("when", "who", "what", "about", "action", "stream", "actor", "document")
    readonly_fields = fields

    def has_add_permission(self, *_: Any) -> bool:
        return False

    def has_change_permission(self, *_: Any) -> bool:
        return False

    def has_delete_permission(self, *_: Any) -> bool:
        return False

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Only the filters above: any other one would read the whole table."""
        return lookup in _PARAMETERS

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        shown = {"standing": standing() if request.method == "GET" else None, "title": _("Audit log")}
        return super().changelist_view(request, {**shown, **(extra_context or {})})

    def get_changelist(self, *_: Any, **__: Any) -> type[ChangeList]:
        return EntryList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Equality only: the term is a stream, or an event's reference (then its deliveries' streams too)."""
        term = search_term.strip()
        return (queryset.filter(stream__in=streams_of(term)) if term else queryset), False

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Entry | None:
        entry: Entry | None = super().get_object(request, object_id, from_field)
        return _with_name(entry) if entry else None

    @admin.display(description="when")
    def when(self, entry: Any) -> SafeString:
        return format_html(
            '<time datetime="{}">{}</time>', entry.at.isoformat(), f"{entry.at:%Y-%m-%d %H:%M:%S} UTC"
        )

    @admin.display(description="who")
    def who(self, entry: Any) -> str:
        return str(entry.named.actor)

    @admin.display(description="did what")
    def what(self, entry: Any) -> str:
        return phrase(entry.action, entry.named.code)

    @admin.display(description="about")
    def about(self, entry: Any) -> str | SafeString:
        named = entry.named
        return format_html('<a href="{}">{}</a>', named.url, named.about) if named.url else named.about

    @admin.display(description="code")
    def code(self, entry: Any) -> str:
        return str(entry.named.code)

    @admin.display(description="as recorded")
    def document(self, entry: Any) -> SafeString:
        return format_html(
            '<pre tabindex="0">{}</pre>', json.dumps(json.loads(entry.body), indent=2, sort_keys=True)
        )


def _with_name(entry: Entry) -> Entry:
    entry.named = name_entries([entry])[entry.pk]  # type: ignore[attr-defined]
    return entry


def streams_of(term: str) -> list[str]:
    """The streams that a pasted term can mean; `entity:<type>:<id>` means those of its newest events."""
    kind, _colon, rest = term.partition(":")
    if kind == "entity":
        return _streams_of_entity(*rest.partition(":")[::2])
    try:
        uuid = from_reference(term.removeprefix("event:"))
    except ValueError:
        return [term]
    deliveries = Delivery.objects.filter(event__uuid=uuid).values_list("pk", flat=True)
    return [f"event:{to_reference(uuid)}", *(f"delivery:{pk}" for pk in deliveries)]


def _streams_of_entity(entity_type: str, entity_id: str) -> list[str]:
    if "\x00" in term_of(entity_type, entity_id):
        return []
    known = Event.objects.filter(entity_id=entity_id, entity_type=entity_type).order_by("-received_at", "-id")
    events = dict(known.values_list("pk", "uuid")[:MOST_EVENTS])
    deliveries = Delivery.objects.filter(event__in=events).values_list("pk", flat=True)
    return [
        *(f"event:{to_reference(uuid)}" for uuid in events.values()),
        *(f"delivery:{pk}" for pk in deliveries),
    ]


def term_of(entity_type: str, entity_id: str) -> str:
    """What the search takes for everything about an entity."""
    return f"entity:{entity_type}:{entity_id}"
