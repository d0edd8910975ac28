"""Mappings: every change of a declaration is a new version, and can be tried out before."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Max, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from integration_hub.console.json_fields import JSONText
from integration_hub.console.recording import AuditedAdmin, Values, plain
from integration_hub.console.trying import SAMPLE_ENTITY, SAMPLE_WEBHOOK, try_out
from sync.mapping import MappingInvalid, parse_mapping
from sync.models import Mapping, MappingVersion

_EMPTY = {"fields": {"email": {"path": "entity.email"}}, "match": {}}


class MappingForm(forms.ModelForm):  # type: ignore[type-arg]
    """The name, and the declaration of the newest version. `based_on` is the version that the person saw."""

    declaration = JSONText(widget=forms.Textarea(attrs={"rows": 30, "cols": 100, "spellcheck": "false"}))
    based_on = forms.IntegerField(widget=forms.HiddenInput, required=False)

    class Meta:
        model = Mapping
        fields = ("name",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.newest = newest(self.instance)
        self.initial["declaration"] = self.newest.declaration if self.newest else _EMPTY
        self.initial["based_on"] = self.newest.number if self.newest else 0

    def clean_declaration(self) -> Any:
        declaration = self.cleaned_data["declaration"]
        try:
            parse_mapping(declaration)
        except MappingInvalid as error:
            raise forms.ValidationError(str(error)) from error
        return declaration

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        number = self.newest.number if self.newest else 0
        if (cleaned.get("based_on") or 0) != number:
            raise forms.ValidationError(f"Version {number} was saved since this page was opened.")
        return cleaned


def newest(mapping: Mapping) -> MappingVersion | None:
    """The newest version; None before the first."""
    return mapping.versions.order_by("-number").first() if mapping.pk else None


@admin.register(Mapping)
class MappingAdmin(AuditedAdmin):
    """A named declaration: entity fields → record fields. None is deleted: attempts refer to its versions."""

    kind = "mapping"
    form = MappingForm
    change_form_template = "console/mapping_form.html"
    fields = ("name", "declaration", "based_on")
    list_display = ("name", "version")

    def get_urls(self) -> list[URLPattern]:
        trial = self.admin_site.admin_view(self.try_view)
        return [path("<int:pk>/try/", trial, name="sync_mapping_try"), *super().get_urls()]

    def has_delete_permission(self, *_: Any) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        numbered: QuerySet[Any] = (
            super().get_queryset(request).annotate(newest_number=Max("versions__number"))
        )
        return numbered

    @admin.display(description="version")
    def version(self, mapping: Any) -> int | None:
        number: int | None = mapping.newest_number
        return number

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        declaration = form.cleaned_data["declaration"]
        if form.newest is None or form.newest.declaration != declaration:
            number = form.newest.number + 1 if form.newest else 1
            MappingVersion.objects.create(mapping=obj, number=number, declaration=declaration)

    def stored(self, pk: Any) -> Values:
        found = newest(Mapping(pk=pk))
        version = {"version": found.number, "declaration": plain(found.declaration)} if found else {}
        return super().stored(pk) | version

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        mapping = kwargs.get("obj")
        versions = mapping.versions.all()[:50] if mapping else ()
        context["mapping_versions"] = [
            (each, JSONText().prepare_value(each.declaration)) for each in versions
        ]
        return super().render_change_form(request, context, *args, **kwargs)

    def try_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """What the declaration that stands in the form, saved or not, makes of a sample."""
        mapping = get_object_or_404(Mapping, pk=pk)
        if not self.has_view_permission(request, mapping):
            raise PermissionDenied
        found = newest(mapping)
        given = {
            "declaration": JSONText().prepare_value(found.declaration if found else _EMPTY),
            "entity": SAMPLE_ENTITY,
            "webhook": SAMPLE_WEBHOOK,
        } | {
            name: request.POST[name] for name in ("declaration", "entity", "webhook") if name in request.POST
        }
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Try out {mapping}",
            "mapping": mapping,
            "given": given,
            "trial": try_out(**given) if request.method == "POST" else None,
        }
        return TemplateResponse(request, "console/mapping_trial.html", context)
