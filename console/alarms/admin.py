"""ModelAdmin of alarms: present and past alarms, who was notified, and the figures that alarms are evaluated on."""

from typing import Any

from django.contrib import admin
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.alarms.snooze import may_snooze, snooze_view
from console.alarms.words import alarm_kind_names, build_alarm_row, notification_lines, snooze_lines
from console.base.filtered_list import FilteredListAdmin
from database.clock import read_clock
from sync.models import Alarm
from sync.monitoring.health_figures import HealthFigures, measure_health


class OpenFilter(admin.SimpleListFilter):
    title = gettext_lazy("status")
    parameter_name = "when"

    def lookups(self, *args: Any) -> list[tuple[str, str]]:
        return [("now", _("Active")), ("over", _("Ended"))]

    def queryset(self, _: HttpRequest, queryset: QuerySet[Alarm]) -> QuerySet[Alarm]:
        return queryset.filter(ended_at__isnull=self.value() == "now") if self.value() else queryset


class KindFilter(admin.SimpleListFilter):
    title = gettext_lazy("about")
    parameter_name = "kind"

    def lookups(self, *args: Any) -> list[tuple[str, str]]:
        return list(alarm_kind_names().items())

    def queryset(self, _: HttpRequest, queryset: QuerySet[Alarm]) -> QuerySet[Alarm]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


@admin.register(Alarm)
class AlarmAdmin(FilteredListAdmin):
    """Read-only list of alarms, active ones first. A person with the permission can snooze one, with a reason."""

    pages = (snooze_view,)
    change_list_template = "console/alarms/list.html"
    list_filter = (OpenFilter, KindFilter)
    allowed_lookups = frozenset({OpenFilter.parameter_name, KindFilter.parameter_name})
    ordering = (F("ended_at").desc(nulls_first=True), "-raised_at", "-id")
    actions = None
    empty_text = gettext_lazy("No alarms yet.")
    no_match_text = gettext_lazy("No alarms match these filters.")

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Replace the alarms of this page of the list by rows with their texts and links."""
        changelist = super().get_changelist_instance(request)
        changelist.result_list = [build_alarm_row(alarm, request.user) for alarm in changelist.result_list]
        return changelist

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        figures = measure_health(read_clock())
        context = {
            "figures": figures,
            "silent": _silent_source_ids(figures),
            "may_snooze": may_snooze(request),
        }
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def render_detail(self, request: HttpRequest, row: Alarm) -> HttpResponse:
        alarm_row = build_alarm_row(row, request.user)
        context = {
            "title": alarm_row.words.title,
            "alarm_row": alarm_row,
            "notifications": notification_lines(row),
            "snoozes": snooze_lines(row),
            "may_snooze": may_snooze(request) and row.ended_at is None,
        }
        return self.render_page(request, "console/alarms/detail.html", context)


def _silent_source_ids(figures: HealthFigures) -> set[int]:
    return {source.id for source in figures.sources if source.is_silent(figures.at)}
