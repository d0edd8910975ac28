"""Show the audit log: read, search and download it, never change it."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from audit.entries.readable_rows import earliest_time, find_entry
from audit.models import Entry
from audit.sealing.status import sealing_status
from console.audit_log.entry_page import build_entry_page, find_sealing_segment
from console.audit_log.list_page import ENTRY_FILTERS, build_entry_list, listed_entries
from console.base.admin_pages import admin_page
from console.base.audit_trail import acting_person
from console.base.downloads import DownloadableListAdmin, download_buttons
from console.base.filtered_list import FilteredPageAdmin
from exports.list_export import ENTRY_EXPORT
from sync.housekeeping.audit_upkeep import request_verification


@admin.register(Entry)
class EntryAdmin(FilteredPageAdmin, DownloadableListAdmin):
    """The pages of the audit log: the list, one entry, and the seals."""

    filters = ENTRY_FILTERS
    list_export = ENTRY_EXPORT
    shows_damaged_rows = True

    def render_list(self, request: HttpRequest) -> HttpResponse:
        context = {
            "title": _("Audit log"),
            "page": build_entry_list(request),
            "download_buttons": download_buttons(request, self.list_export),
        }
        return self.render_page(request, "console/audit_log/list.html", context)

    def filtered_rows(self, request: HttpRequest) -> QuerySet[Any]:
        return listed_entries(request.GET)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Entry | None:
        """Return an entry, also with columns that cannot be read."""
        return find_entry(int(object_id)) if object_id.isdecimal() and len(object_id) < 19 else None

    def render_detail(self, request: HttpRequest, row: Entry) -> HttpResponse:
        page = build_entry_page(row, request.user)
        context = {"title": page.row.title, "page": page, "sealed": find_sealing_segment(row)}
        return self.render_page(request, "console/audit_log/entry.html", context)

    @admin_page("standing/", "sealing")
    def integrity_view(self, request: HttpRequest) -> HttpResponse:
        """Show how far the log is sealed, published and verified."""
        self.require_permissions(request)
        context = {
            "title": _("Audit log integrity"),
            "sealing": sealing_status(),
            "begins_at": earliest_time(Entry.objects.all()),
        }
        return self.render_page(request, "console/audit_log/seals.html", context)

    @admin_page("standing/verify/", "verify", button_on="sealing")
    def verify_view(self, request: HttpRequest) -> HttpResponse:
        """Let a worker verify the whole log now. POST only."""
        self.require_permissions(request)
        if request_verification(acting_person(request)):
            messages.success(request, _("A worker verifies the log now. Reload this page for the result."))
        else:
            text = _("The log is being verified, or was a few minutes ago. Or no worker has run yet.")
            messages.warning(request, text)
        return redirect("admin:audit_entry_sealing")
