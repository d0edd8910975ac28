"""ModelAdmin of refusals: requests that were not accepted. Their bodies are not stored."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.base.filtered_list import FilteredListAdmin
from console.base.forms import parse_pk
from console.base.read_only_admin import DetailPageMixin
from console.ui.formatting import render_age
from console.ui.outcome_texts import describe_code
from webhooks.catalogue.codes import CATALOGUE
from webhooks.models import Refusal, Source

# Refusals that are not the fault of the sender.
_HUB_CODES = ("source-disabled", "internal-error", "storage-unavailable")
REFUSAL_CODES = tuple(
    code for code, entry in CATALOGUE.items() if entry.owner == "sender" or code in _HUB_CODES
)


class CodeFilter(admin.SimpleListFilter):
    """List filter of refusals by code, with the titles of the catalogue."""

    title = gettext_lazy("reason")
    parameter_name = "code"

    def lookups(self, *args: Any) -> list[tuple[str, str]]:
        return sorted(
            ((code, describe_code(code).title) for code in REFUSAL_CODES), key=lambda choice: choice[1]
        )

    def queryset(self, request: HttpRequest, queryset: QuerySet[Refusal]) -> QuerySet[Refusal]:
        return queryset.filter(code=self.value()) if self.value() else queryset


class SourceFilter(admin.SimpleListFilter):
    """List filter of refusals by the slug of the source that was addressed."""

    title = gettext_lazy("source")
    parameter_name = "source"

    def lookups(self, *args: Any) -> list[tuple[str, str]]:
        return list(Source.objects.values_list("slug", "name"))

    def has_output(self) -> bool:
        return bool(self.lookup_choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        # Filter by key: a join could not use the index on source and time for the order.
        key = Source.objects.filter(slug=self.value()).values_list("pk", flat=True).first()
        return queryset.filter(source_id=key) if key else queryset.none()


@admin.register(Refusal)
class RefusalAdmin(DetailPageMixin, FilteredListAdmin):
    """Read-only list of refusals. Those of one kind and minute share a row, and the oldest rows are pruned."""

    list_display = (
        "reason_title",
        "source_name",
        "request_count",
        "last_seen",
        "client_address",
        "body_size",
    )
    list_filter = (CodeFilter, SourceFilter)
    list_select_related = ("source",)
    allowed_lookups = frozenset({CodeFilter.parameter_name, SourceFilter.parameter_name})
    ordering = ("-last_at", "-id")
    actions = None
    empty_text = gettext_lazy("No refused requests.")
    no_match_text = gettext_lazy("No refused requests match these filters.")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return super().changelist_view(request, {"title": _("Refused requests"), **(extra_context or {})})

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Refusal | None:
        pk = parse_pk(object_id)
        refusals = self.get_queryset(request).select_related("source")
        return None if pk is None else refusals.filter(pk=pk).first()

    def render_detail(self, request: HttpRequest, row: Refusal) -> HttpResponse:
        """Show why the request was refused and what to do."""
        words = describe_code(row.code)
        source = {SourceFilter.parameter_name: row.source.slug} if row.source else {}
        context = {
            "title": words.title,
            "refusal": row,
            "words": words,
            "source": self.source_name(row),
            "size": self.body_size(row),
            "alike": "?" + urlencode({CodeFilter.parameter_name: row.code, **source}),
        }
        return self.render_page(request, "console/requests/detail.html", context)

    @admin.display(description=gettext_lazy("reason"))
    def reason_title(self, refusal: Refusal) -> str:
        return describe_code(refusal.code).title

    @admin.display(description=gettext_lazy("source"))
    def source_name(self, refusal: Refusal) -> str:
        return refusal.source.name if refusal.source else _("unknown")

    @admin.display(description=gettext_lazy("times"))
    def request_count(self, refusal: Refusal) -> str:
        return f"{refusal.times:,}"

    @admin.display(description=gettext_lazy("last"))
    def last_seen(self, refusal: Refusal) -> str | SafeString:
        return render_age(refusal.last_at)

    @admin.display(description=gettext_lazy("IP address"))
    def client_address(self, refusal: Refusal) -> str:
        return refusal.address or "–"

    @admin.display(description=gettext_lazy("size"))
    def body_size(self, refusal: Refusal) -> str:
        if refusal.size is None:
            return "–"
        return ngettext("%(number)s byte", "%(number)s bytes", refusal.size) % {"number": f"{refusal.size:,}"}
