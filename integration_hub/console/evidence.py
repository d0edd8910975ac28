"""What happened is for reading: pages of rows that nobody adds, changes or deletes."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ERROR_FLAG
from django.contrib.messages import warning
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from django.utils.translation import ngettext

from integration_hub.console.paging import BoundedPaginator


def found_by(rows: QuerySet[Any], name: str, read: Callable[[str], UUID]) -> Any:
    """The row of an address: by the name that people and the audit log quote (`read` takes it), or by its key."""
    try:
        return rows.filter(uuid=read(name)).first()
    except ValueError:
        is_key = name.isascii() and name.isdecimal() and len(name) < 19
        return rows.filter(pk=int(name)).first() if is_key else None


def without(request: HttpRequest, unknown: Sequence[str]) -> HttpResponseRedirect:
    """The same list without these parameters, which mean nothing there; the person is told which."""
    kept = request.GET.copy()
    for name in unknown:
        del kept[name]
    told = ngettext(
        "This list has no filter %(names)s: it was left out.",
        "This list has no filters %(names)s: they were left out.",
        len(unknown),
    )
    warning(request, told % {"names": ", ".join(f"“{name[:40]}”" for name in unknown[:3])})
    return HttpResponseRedirect(f"{request.path}?{kept.urlencode()}" if kept else request.path)


class EvidenceAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """A read-only list of a table that grows: newest first, counted within bounds, nothing sortable."""

    list_per_page = 50
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = BoundedPaginator
    sortable_by = ()
    parameters: frozenset[str] = frozenset()

    @property
    def media(self) -> forms.Media:
        """Of Django's scripts only the one that ticks check boxes: a read-only list needs no other."""
        return forms.Media(js=["admin/js/actions.js"], css={"all": ["console/evidence.css"]})

    def has_add_permission(self, *_: Any) -> bool:
        return False

    def has_change_permission(self, *_: Any) -> bool:
        return False

    def has_delete_permission(self, *_: Any) -> bool:
        return False

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Only what the filters offer: any other look-up could mean a walk through the whole table."""
        return lookup in self.parameters

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        if ERROR_FLAG in request.GET:
            warning(request, "The filters of this address cannot be used; everything is listed.")
        title = {"title": str(self.opts.verbose_name_plural).capitalize()}
        return super().changelist_view(request, {**title, **(extra_context or {})})
