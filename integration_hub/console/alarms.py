"""Alarms: what is wrong now and what was, who was told, and the figures that they are judged by."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from integration_hub.console.evidence import EvidenceAdmin
from integration_hub.console.snoozing import MOST_SNOOZED, may_snooze, snooze_page
from integration_hub.console.wording import moment, pill
from sync.alarm_words import describe
from sync.models import Alarm, AlarmKind, News
from sync.watching import database_clock, measure

_PAGES = {"source": "admin:webhooks_source_change", "connection": "admin:sync_connection_change"}
_LISTS = {AlarmKind.DELIVERIES_DEAD: "dead", AlarmKind.DELIVERIES_HELD: "held"}
_OF_AUDIT = frozenset(kind for kind in AlarmKind if kind.value.startswith("audit-"))
_NOTHING = "–"
_BREAK = SafeString("<br>")


class OpenFilter(admin.SimpleListFilter):
    """What is wrong now, or what was."""

    title = "when"
    parameter_name = "when"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        return [("now", "now"), ("over", "over")]

    def queryset(self, _: HttpRequest, queryset: QuerySet[Alarm]) -> QuerySet[Alarm]:
        return queryset.filter(ended_at__isnull=self.value() == "now") if self.value() else queryset


class KindFilter(admin.SimpleListFilter):
    """What it is about."""

    title = "kind"
    parameter_name = "kind"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        return [(str(kind.value), str(kind.label)) for kind in AlarmKind]

    def queryset(self, _: HttpRequest, queryset: QuerySet[Alarm]) -> QuerySet[Alarm]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


@admin.register(Alarm)
class AlarmAdmin(EvidenceAdmin):
    """Read-only, open ones first. Whoever may can ask for quiet about one, for a time and with a reason."""

    change_list_template = "console/alarm_list.html"
    change_form_template = "console/alarm.html"
    list_display = ("title", "state", "since", "raised", "ended")
    list_filter = (OpenFilter, KindFilter)
    parameters = frozenset({OpenFilter.parameter_name, KindFilter.parameter_name})
    ordering = (F("ended_at").desc(nulls_first=True), "-raised_at", "-id")
    actions = ("snooze_selected",)
    fields = (
        "title",
        "detail",
        "next_step",
        "about",
        "state",
        "since",
        "raised",
        "ended",
        "told",
        "snoozed_by",
    )
    readonly_fields = fields

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(self.snooze_view)
        return [path("snooze/", page, name="sync_alarm_snooze"), *super().get_urls()]

    def has_snooze_permission(self, request: HttpRequest) -> bool:
        return may_snooze(request)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        figures = measure(database_clock()) if request.method == "GET" else None
        silent = {each.id for each in figures.sources if each.is_silent(figures.at)} if figures else set()
        context = {"figures": figures, "silent": silent}
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        context = {"title": "Alarm", "may_snooze": may_snooze(request)}
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    @admin.action(description="Snooze selected alarms…", permissions=["snooze"])
    def snooze_selected(self, _: HttpRequest, queryset: QuerySet[Alarm]) -> HttpResponseRedirect:
        keys = list(queryset.filter(ended_at=None).values_list("pk", flat=True)[:MOST_SNOOZED])
        query = urlencode([("alarm", key) for key in keys])
        return HttpResponseRedirect(f"{reverse('admin:sync_alarm_snooze')}?{query}")

    def snooze_view(self, request: HttpRequest) -> Any:
        """Asks for how long and why; on POST, does it."""
        return snooze_page(request, self.admin_site.each_context(request))

    @admin.display(description="alarm")
    def title(self, alarm: Alarm) -> str:
        return describe(alarm).title

    @admin.display(description="what is so")
    def detail(self, alarm: Alarm) -> str:
        return describe(alarm, News.ENDED if alarm.ended_at else News.RAISED).detail

    @admin.display(description="what to do")
    def next_step(self, alarm: Alarm) -> str:
        return describe(alarm, News.ENDED if alarm.ended_at else News.RAISED).next_step

    @admin.display(description="state")
    def state(self, alarm: Alarm) -> str | SafeString:
        if alarm.ended_at is not None:
            return pill("good", "✓", "over")
        mark = pill("bad", "✕", "now")
        if alarm.snoozed_until is None:
            return mark
        return format_html("{} snoozed until {}", mark, moment(alarm.snoozed_until))

    @admin.display(description="about")
    def about(self, alarm: Alarm) -> str | SafeString:
        """Where to go and see."""
        side, _, key = alarm.subject.partition(":")
        if side in _PAGES:
            return format_html('<a href="{}">{}</a>', reverse(_PAGES[side], args=[key]), alarm.name)
        if alarm.kind in _OF_AUDIT:
            return format_html('<a href="{}">the audit log</a>', reverse("admin:audit_entry_changelist"))
        state = _LISTS.get(AlarmKind(alarm.kind), "")
        query = f"?state={state}" if state else ""
        return format_html('<a href="{}{}">the events</a>', reverse("admin:webhooks_event_changelist"), query)

    @admin.display(description="since")
    def since(self, alarm: Alarm) -> str | SafeString:
        return moment(alarm.began_at)

    @admin.display(description="raised")
    def raised(self, alarm: Alarm) -> str | SafeString:
        return moment(alarm.raised_at)

    @admin.display(description="ended")
    def ended(self, alarm: Alarm) -> str | SafeString:
        return moment(alarm.ended_at)

    @admin.display(description="who was told")
    def told(self, alarm: Alarm) -> str | SafeString:
        rows = [
            (each, each.get_state_display(), moment(each.told_at, ""), _tries(each.tries), each.failure)
            for each in alarm.tellings.order_by("id")
        ]
        return (
            _listed("{}: {} {} {} {}", rows) if rows else "nobody: no channel was set up, or it was snoozed"
        )

    @admin.display(description="snoozed")
    def snoozed_by(self, alarm: Alarm) -> str | SafeString:
        rows = [
            (each.requested_by, moment(each.created_at), moment(each.until), each.reason)
            for each in alarm.snoozes.select_related("requested_by").order_by("id")
        ]
        return _listed("{}, {}, until {}: {}", rows) if rows else _NOTHING


def _tries(number: int) -> str:
    return f"after {number} tries" if number > 1 else ""


def _listed(pattern: str, rows: list[tuple[Any, ...]]) -> SafeString:
    return format_html_join(_BREAK, pattern, rows)
