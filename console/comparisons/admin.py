"""ModelAdmin of comparisons: all pairs, the page of a pair, and of one comparison."""

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

from audit.export.line_formats import FORMATS
from console.base.admin_pages import admin_page
from console.base.audit_trail import client_address, require_staff_user
from console.base.downloads import exceeds_limit, recordable_filters, refuse_download, stream_download
from console.base.read_only_admin import ReadOnlyAdmin
from console.comparisons.comparison_page import comparison_context
from console.comparisons.difference_list import listed_differences
from console.comparisons.difference_page import difference_view
from console.comparisons.link_all import link_all_view
from console.comparisons.make_equal import equal_view
from console.comparisons.match_desk import desk_view
from console.comparisons.match_page import match_view
from console.comparisons.pair_page import list_pairs, pair_context
from console.comparisons.result import RELATED, find_comparison
from console.permissions import MAY_COMPARE, SEE_DIFFERENCES
from exports.list_export import DIFFERENCE_EXPORT
from logins.fresh_login import require_fresh_login
from sync.comparisons.requests import ComparisonRefused, cancel_comparison, request_comparison
from sync.models import Comparison, ComparisonCause, Route
from sync.search.time_ranges import InvalidFilter


@admin.register(Comparison)
class ComparisonAdmin(ReadOnlyAdmin):
    """Lists the pairs of all routes with their newest result. A comparison is requested on the page of its pair."""

    pages = (difference_view, equal_view, desk_view, match_view, link_all_view)
    detail_related = RELATED
    parse_public_id = UUID

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(SEE_DIFFERENCES)

    def template_permissions(self, request: HttpRequest) -> dict[str, bool]:
        return {"compare": request.user.has_perm(MAY_COMPARE)}

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        self.require_permissions(request)
        context = {"title": _("Comparisons"), "pairs": list_pairs()}
        return self.render_page(request, "console/comparisons/list.html", context)

    def render_detail(self, request: HttpRequest, row: Comparison) -> HttpResponse:
        return self.render_page(
            request, "console/comparisons/comparison.html", comparison_context(request, row)
        )

    @admin_page("route/<int:pk>/", "route")
    def route_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show the comparisons of the pair of a route."""
        self.require_permissions(request)
        route = self._get_route(pk)
        return self.render_page(request, "console/comparisons/pair.html", pair_context(request, route))

    def _get_route(self, pk: int) -> Route:
        return get_object_or_404(
            Route.objects.select_related("source", "identity", "target", "mapping"), pk=pk
        )

    @admin_page("route/<int:pk>/compare/", "compare", button_on="route")
    def compare_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Request a comparison of the pair of a route. POST only."""
        self.require_permissions(request, MAY_COMPARE)
        route = self._get_route(pk)
        try:
            request_comparison(
                route,
                cause=ComparisonCause.PERSON,
                by=require_staff_user(request),
                address=client_address(request),
            )
        except ComparisonRefused as error:
            messages.error(request, str(error))
        return redirect("admin:sync_comparison_route", pk)

    @admin_page("<uuid:key>/cancel/", "cancel", button_on="change")
    def cancel_view(self, request: HttpRequest, key: UUID) -> HttpResponse:
        """End a comparison that waits or runs. POST only."""
        self.require_permissions(request, MAY_COMPARE)
        comparison = find_comparison(key)
        if cancel_comparison(comparison, by=require_staff_user(request), address=client_address(request)):
            messages.success(request, _("The comparison was cancelled."))
        else:
            messages.warning(request, _("The comparison had already ended."))
        return redirect("admin:sync_comparison_route", comparison.route_id)

    @admin_page("<uuid:key>/change/download/<str:form>", "download")
    def download_view(self, request: HttpRequest, key: UUID, form: str) -> HttpResponseBase:
        """Send the filtered differences of a comparison as a file: ids and names of fields."""
        if form not in FORMATS:
            raise Http404
        filters = recordable_filters(request.GET)
        details = {"what": DIFFERENCE_EXPORT.name, "format": form, "filters": filters, "comparison": str(key)}
        if not self.has_view_permission(request):
            refuse_download(request, details)
        comparison = find_comparison(key)
        require_fresh_login(request)
        try:
            rows = listed_differences(comparison, request.GET)
        except InvalidFilter:
            return HttpResponseBadRequest(_("These filters cannot be used."), content_type="text/plain")
        if exceeds_limit(rows):
            messages.error(
                request, _("Nothing was downloaded: these are too many rows. Choose a kind or a field.")
            )
            return redirect(f"../?{request.GET.urlencode()}")
        return stream_download(request, DIFFERENCE_EXPORT, rows, FORMATS[form], details)
