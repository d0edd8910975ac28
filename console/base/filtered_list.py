"""Read-only lists with their filters as chips above the rows."""

from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib.messages import warning
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import ngettext

from console.base.read_only_admin import ReadOnlyAdmin
from console.ui.filter_set import FilterSet


class FilteredPageAdmin(ReadOnlyAdmin):
    """Admin of a list with a filter set. `render_list` shows the page of an address whose parameters are all known."""

    filters: ClassVar[FilterSet[Any]]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        self.require_permissions(request)
        if unknown := self.filters.unknown_params(request.GET):
            return _redirect_without_params(request, unknown)
        if request.method != "POST" and (query := self.filters.canonical_query(request.GET)):
            return HttpResponseRedirect(f"{request.path}{query}")
        return self.render_list(request)

    def render_list(self, request: HttpRequest) -> HttpResponse:
        raise NotImplementedError


class FilteredListAdmin(ReadOnlyAdmin):
    """Admin of a list with filters. `empty_text` is shown for an empty table, `no_match_text` if no row matches the
    filters.
    """

    change_list_template = "console/base/filtered_list.html"
    empty_text: Any = ""
    no_match_text: Any = ""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        texts = {"empty_text": self.empty_text, "no_match_text": self.no_match_text}
        return super().changelist_view(request, {**texts, **(extra_context or {})})


def _redirect_without_params(request: HttpRequest, unknown: Sequence[str]) -> HttpResponseRedirect:
    """Redirect to the list without unknown parameters, and name them in a message."""
    params = request.GET.copy()
    for name in unknown:
        del params[name]
    text = ngettext(
        "This list has no filter %(names)s. It was removed.",
        "This list has no filters %(names)s. They were removed.",
        len(unknown),
    )
    warning(request, text % {"names": ", ".join(f"“{name[:40]}”" for name in unknown[:3])})
    return HttpResponseRedirect(f"{request.path}?{params.urlencode()}" if params else request.path)
