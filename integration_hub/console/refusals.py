"""Refusals: requests that did not pass the gate. No body was kept."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from integration_hub.console.evidence import EvidenceAdmin
from integration_hub.console.wording import code_words, moment
from webhooks.codes import CATALOGUE
from webhooks.models import Refusal, Source

_OURS = ("source-disabled", "internal-error", "storage-unavailable")
CODES = tuple(code for code, entry in CATALOGUE.items() if entry.owner == "sender" or code in _OURS)


class CodeFilter(admin.SimpleListFilter):
    """By what was wrong, from the catalogue."""

    title = "reason"
    parameter_name = "code"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        return sorted(((code, code_words(code).title) for code in CODES), key=lambda choice: choice[1])

    def queryset(self, _: HttpRequest, queryset: QuerySet[Refusal]) -> QuerySet[Refusal]:
        return queryset.filter(code=self.value()) if self.value() else queryset


class SourceFilter(admin.SimpleListFilter):
    """By whom the request was addressed to, by slug."""

    title = "source"
    parameter_name = "source"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        return list(Source.objects.values_list("slug", "name"))

    def has_output(self) -> bool:
        return bool(self.lookup_choices)

    def queryset(self, _: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        # The key, not a join: the index on source and time answers this in order.
        key = Source.objects.filter(slug=self.value()).values_list("pk", flat=True).first()
        return queryset.filter(source_id=key) if key else queryset.none()


@admin.register(Refusal)
class RefusalAdmin(EvidenceAdmin):
    """Read-only. Equal refusals of one minute share a row, and the oldest rows make room for new ones."""

    list_display = ("last", "source", "why", "address", "size", "times")
    list_filter = (CodeFilter, SourceFilter)
    list_select_related = ("source",)
    parameters = frozenset({CodeFilter.parameter_name, SourceFilter.parameter_name})
    ordering = ("-last_at", "-id")
    actions = None
    fields = ("first", "last", "times", "source", "why", "next_step", "address", "size")
    readonly_fields = fields

    @admin.display(description="first")
    def first(self, refusal: Refusal) -> str | SafeString:
        return moment(refusal.first_at)

    @admin.display(description="last")
    def last(self, refusal: Refusal) -> str | SafeString:
        return moment(refusal.last_at)

    @admin.display(description="reason")
    def why(self, refusal: Refusal) -> SafeString:
        return format_html('{} <span class="quiet">{}</span>', code_words(refusal.code).title, refusal.code)

    @admin.display(description="what to do")
    def next_step(self, refusal: Refusal) -> str:
        return code_words(refusal.code).next_step
