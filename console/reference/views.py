"""Show the reference of all settings, and serve the JSON Schemas, to everyone who may open the console."""

from typing import Any

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from console.reference.json_schemas import DOCUMENTS, make_schema
from console.reference.pages import PAGES
from console.reference.preset_catalogue import KINDS, MAX_SEARCH_LENGTH, list_entries
from console.reference.support_page import load_help_page


@require_safe
def index_view(request: HttpRequest) -> HttpResponse:
    """List the pages of the reference (`admin:reference`)."""
    pages = [make_page() for make_page in PAGES.values()]
    return _render(request, "index", _("Reference"), pages=pages)


@require_safe
def page_view(request: HttpRequest, page: str) -> HttpResponse:
    """Show one page of the reference (`admin:reference_page`)."""
    if page not in PAGES:
        raise Http404
    shown = PAGES[page]()
    return _render(request, "page", str(shown.title), page=shown)


@require_safe
def presets_view(request: HttpRequest) -> HttpResponse:
    """List the presets: all of them, or only one kind or the results of a search (`admin:reference_presets`)."""
    search = request.GET.get("q", "")[:MAX_SEARCH_LENGTH]
    kind = request.GET.get("kind", "")
    kind = kind if kind in KINDS else ""
    rows = [(entry, request.user.has_perm(entry.permission)) for entry in list_entries(kind, search)]
    params = {"q": search, **({"kind": kind} if kind else {})}
    return _render(
        request,
        "presets",
        _("Presets"),
        rows=rows,
        kinds=KINDS.items(),
        kind=kind,
        search=search,
        params=params,
    )


@require_safe
def help_view(request: HttpRequest) -> HttpResponse:
    """Show the help for support staff (`admin:help`)."""
    page = load_help_page()
    return _render(request, "help", page.title, page=page)


@require_safe
def schema_view(request: HttpRequest, schema: str) -> HttpResponse:
    """Return a JSON Schema (`admin:reference_schema`)."""
    if schema not in DOCUMENTS:
        raise Http404
    return JsonResponse(
        make_schema(schema),
        content_type="application/schema+json",
        json_dumps_params={"indent": 2, "ensure_ascii": False},
    )


def _render(request: HttpRequest, template: str, title: str, **context: Any) -> HttpResponse:
    shown = {**admin.site.each_context(request), "title": title, **context}
    return TemplateResponse(request, f"console/reference/{template}.html", shown)
