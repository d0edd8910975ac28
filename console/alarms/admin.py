"""Alarms: what is wrong now and what was, who was told, and the figures that they are judged by."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _

from console.alarms.snooze import may_snooze, snooze_page
from console.alarms.words import kind_names, shown_alarm, snooze_lines, told_lines
from console.base.read_only import EvidenceAdmin, RowPages
from console.ui.chips import Bar, Chip
from database.clock import read_clock
from sync.models import Alarm, AlarmKind
from sync.monitoring.health_figures import Figures, measure

BAR = Bar(("when", "kind"), time="")


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
class AlarmAdmin(RowPages, EvidenceAdmin):
    """Read-only, open ones first. Whoever may can ask for quiet about one, for a time and with a reason."""

    change_list_template = "console/alarms/list.html"
    list_filter = (OpenFilter, KindFilter)
    parameters = frozenset(BAR.names)
    ordering = (F("ended_at").desc(nulls_first=True), "-raised_at", "-id")
    actions = None

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(self.snooze_view)
        return [path("snooze/", page, name="sync_alarm_snooze"), *super().get_urls()]

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Each row of the page in words."""
        found = super().get_changelist_instance(request)
        found.result_list = [shown_alarm(each, request.user) for each in found.result_list]
        return found

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        figures = measure(read_clock())
        words = BAR.asked(request.GET)
        context = {
            "figures": figures,
            "silent": _silent(figures),
            "chips": _chips(words),
            "is_filtered": bool(words),
            "may_snooze": may_snooze(request),
        }
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def show_row(self, request: HttpRequest, row: Alarm) -> HttpResponse:
        shown = shown_alarm(row, request.user)
        context = {
            "title": shown.words.title,
            "shown": shown,
            "told": told_lines(row),
            "snoozes": snooze_lines(row),
            "may_snooze": may_snooze(request) and row.ended_at is None,
        }
        return self.page(request, "console/alarms/detail.html", context)

    def snooze_view(self, request: HttpRequest) -> Any:
        """Asks for how long and why; on POST, does it."""
        return snooze_page(request, self.admin_site.each_context(request))


def _silent(figures: Figures) -> set[int]:
    return {each.id for each in figures.sources if each.is_silent(figures.at)}


def _chips(words: dict[str, str]) -> Sequence[Chip]:
    times = [("now", _("Now")), ("over", _("Over"))]
    return [
        BAR.chip(words, "when", _("Status"), times),
        BAR.chip(words, "kind", _("About"), kind_names().items()),
    ]
