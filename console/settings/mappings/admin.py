"""ModelAdmin of mappings: the list, the page of one with its versions, and the form of a new one."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Exists, Max, OuterRef, Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.base.audit_trail import FieldValues, record_action
from console.base.audited_admin import diff_values, to_json_value
from console.base.forms import ReasonForm
from console.base.origin_page import keep_origin
from console.base.read_only_admin import DetailPageMixin
from console.base.reason_required import ReasonRequiredAdmin
from console.permissions import MAY_EDIT
from console.settings.mappings.activate import activate_view, compare_view
from console.settings.mappings.backtest import begin_view, result_view
from console.settings.mappings.backtest_words import summarize_backtest
from console.settings.mappings.editor import discard_view, edit_view, try_view
from console.settings.mappings.mapping_pages import render_mapping_page
from console.settings.mappings.words import describe_rules
from console.ui.formatting import render_time
from console.ui.outcome_texts import render_pill
from sync.mappings.activation_check import parse_version
from sync.mappings.backtests import routes_using_mapping
from sync.mappings.drafts import current_version, open_draft
from sync.models import BackTest, DraftState, Mapping, MappingDraft, MappingVersion, Route
from sync.planning.first_values import find_unseen_fields

MAX_VERSIONS = 50
MAX_BACKTESTS = 5


class MappingNameForm(ReasonForm, forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Mapping
        fields = ("name",)


def _unseen_fields(version: MappingVersion | None) -> list[str]:
    """Return the fields of a version whose path has found no value in any entity yet. An entity without the value of a
    required field is refused.
    """
    mapping = parse_version(version)
    if mapping is None or version is None:
        return []
    unseen = find_unseen_fields(mapping, version.fields_with_value)
    return sorted(name for name in unseen if not mapping.fields[name].is_required)


@admin.register(Mapping)
class MappingAdmin(DetailPageMixin, ReasonRequiredAdmin):
    """Manage mappings from entity fields to record fields. They cannot be deleted, because attempts refer to their
    versions.
    """

    pages = (edit_view, try_view, discard_view, compare_view, activate_view, begin_view, result_view)
    audit_kind = "mapping"
    no_rows_text = gettext_lazy(
        "No mappings yet. A mapping says which field of a record gets its value from which field of an entity."
    )
    allows_post = True
    add_form_template = "console/settings/mappings/add.html"
    fields = ("name",)
    list_display = ("name", "active_version", "active_since", "draft_pill", "route_links")
    sortable_by = ()

    def has_delete_permission(self, *_: Any) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        drafts = MappingDraft.objects.filter(mapping=OuterRef("pk"), state=DraftState.OPEN)
        routes = Route.objects.select_related("source", "target")
        newest = {"newest_number": Max("versions__number"), "newest_at": Max("versions__created_at")}
        rows: QuerySet[Any] = super().get_queryset(request).annotate(**newest, has_draft=Exists(drafts))
        return rows.prefetch_related(Prefetch("routes", routes))

    def list_headline(self, rows: Sequence[Any]) -> str:
        drafts = sum(mapping.has_draft for mapping in rows)
        text = ngettext(
            "%(count)d mapping has a draft that is not active.",
            "%(count)d mappings have drafts that are not active.",
            drafts,
        )
        return text % {"count": drafts} if drafts else _("No mapping has a draft.")

    @admin.display(description=gettext_lazy("active version"))
    def active_version(self, mapping: Any) -> int | None:
        number: int | None = mapping.newest_number
        return number

    @admin.display(description=gettext_lazy("active since"))
    def active_since(self, mapping: Any) -> str:
        return render_time(mapping.newest_at)

    @admin.display(description=gettext_lazy("draft"), empty_value="–")
    def draft_pill(self, mapping: Any) -> str:
        return render_pill("warn", "✎", _("Draft")) if mapping.has_draft else ""

    @admin.display(description=gettext_lazy("used by"))
    def route_links(self, mapping: Any) -> str:
        named = (
            (reverse("admin:sync_route_change", args=[route.pk]), route) for route in mapping.routes.all()
        )
        links: str = format_html_join(mark_safe("<br>"), '<a href="{}">{}</a>', named)
        return links or _("no routes")

    def response_post_save_add(self, request: HttpRequest, obj: Any) -> Any:
        """Go on with the rules of the new mapping. It has no version yet, so no enabled route can use it."""
        return redirect(keep_origin(request, reverse("admin:sync_mapping_edit", args=[obj.pk])))

    def stored_values(self, pk: Any) -> FieldValues:
        current = current_version(Mapping(pk=pk))
        version = (
            {"version": current.number, "declaration": to_json_value(current.declaration)} if current else {}
        )
        return super().stored_values(pk) | version

    def render_detail(self, request: HttpRequest, row: Mapping) -> HttpResponse:
        """Show the active version, the draft and earlier versions; on POST, rename the mapping."""
        if request.method == "POST":
            self.require_permissions(request, MAY_EDIT)
            return self._rename_mapping(request, row)
        return self._render_mapping(request, row)

    def _render_mapping(
        self, request: HttpRequest, mapping: Mapping, names: MappingNameForm | None = None
    ) -> HttpResponse:
        current, draft = current_version(mapping), open_draft(mapping)
        # One more than is shown tells if there are older ones.
        versions = list(mapping.versions.select_related("made_by", "restores")[: MAX_VERSIONS + 1])
        tests = BackTest.objects.filter(draft=draft) if draft else BackTest.objects.none()
        return render_mapping_page(
            self,
            request,
            "console/settings/mappings/detail.html",
            mapping,
            title=str(mapping),
            current=current,
            rules=describe_rules(current.declaration) if current else (),
            unseen_fields=_unseen_fields(current),
            draft=draft,
            versions=versions[:MAX_VERSIONS],
            has_more=len(versions) > MAX_VERSIONS,
            routes=routes_using_mapping(mapping.pk),
            backtests=[summarize_backtest(row) for row in tests.order_by("-pk")[:MAX_BACKTESTS]],
            names=names or MappingNameForm(instance=mapping),
            stream=mapping.stream,
        )

    def _rename_mapping(self, request: HttpRequest, mapping: Mapping) -> HttpResponse:
        form = MappingNameForm(request.POST, instance=mapping)
        if not form.is_valid():
            # Read again, because the form has put the refused name on the instance.
            return self._render_mapping(request, Mapping.objects.get(pk=mapping.pk), form)
        with transaction.atomic():
            before = self.stored_values(mapping.pk)
            form.save()
            differences = diff_values(before, self.stored_values(mapping.pk), frozenset())
            if differences:
                reason = {"reason": form.cleaned_data["reason"]}
                record_action(request, mapping.stream, "mapping.changed", differences | reason)
        messages.success(request, _("The name was saved."))
        return redirect("admin:sync_mapping_change", mapping.pk)
