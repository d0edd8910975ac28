"""Show the audit log: read, search and download it, never change it."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.translation import gettext as _

from audit.entries.readable_rows import earliest_time, find_entry
from audit.models import Entry
from audit.sealing.status import sealing_status
from console.audit_log.entry_page import build_entry_page, find_sealing_segment
from console.audit_log.list_page import FILTER_BAR, build_entry_list, listed_entries, unknown_params
from console.base.downloads import DownloadableListAdmin, download_buttons
from console.base.read_only_admin import DetailPageMixin, ReadOnlyAdmin, redirect_without_params
from exports.list_export import ENTRY_EXPORT


@admin.register(Entry)
class EntryAdmin(DetailPageMixin, ReadOnlyAdmin, DownloadableListAdmin):
    """The pages of the audit log: the list, one entry, and the seals."""

    list_export = ENTRY_EXPORT
    shows_damaged_rows = True

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(self.integrity_view)
        return [path("standing/", page, name="audit_entry_sealing"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        self.require_permissions(request)
        if unknown := unknown_params(request.GET):
            return redirect_without_params(request, unknown)
        if absolute_query := FILTER_BAR.absolute_url(request.GET):
            return HttpResponseRedirect(f"{request.path}{absolute_query}")
        context = {
            "title": _("Audit log"),
            "page": build_entry_list(request),
            "download_buttons": download_buttons(request, self.list_export),
        }
        return self.render_page(request, "console/audit_log/list.html", context)

    def filtered_rows(self, request: HttpRequest) -> QuerySet[Any]:
        return listed_entries(request)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Entry | None:
        """Return an entry, also with columns that cannot be read."""
        return find_entry(int(object_id)) if object_id.isdecimal() and len(object_id) < 19 else None

    def render_detail(self, request: HttpRequest, row: Entry) -> HttpResponse:
        page = build_entry_page(row, request.user)
        context = {"title": page.row.title, "page": page, "sealed": find_sealing_segment(row)}
        return self.render_page(request, "console/audit_log/entry.html", context)

    def integrity_view(self, request: HttpRequest) -> HttpResponse:
        """Show how far the log is sealed, published and verified."""
        self.require_permissions(request)
        context = {
            "title": _("Audit log integrity"),
            "sealing": sealing_status(),
            "begins_at": earliest_time(Entry.objects.all()),
        }
        return self.render_page(request, "console/audit_log/seals.html", context)
