"""Request exports as evidence from the event list's filter, follow, cancel and download them, and search the
register.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from console.base.admin_pages import admin_page, column
from console.base.audit_trail import client_address, request_actor, require_staff_user
from console.base.downloads import refuse_download
from console.base.forms import ReasonField
from console.base.read_only_admin import ReadOnlyAdmin
from console.export_jobs.page import (
    archive_name,
    detail_context,
    export_mark,
    request_context,
    requester_name,
)
from console.permissions import MAY_EXPORT
from console.ui.event_filters import EVENT_FILTERS, describe_filter
from console.ui.formatting import render_time
from exports.jobs import lifecycle
from exports.jobs.approvals import ApprovalRefused, approve_export
from exports.models import Export, ExportState, TableFormat
from exports.subject_register import exports_containing
from logins.fresh_login import require_fresh_login
from sync.search.event_filter import EventFilter, resolve_filter
from sync.search.time_ranges import InvalidFilter


class ExportRequestForm(forms.Form):
    reason = ReasonField(label=_("Reason (stored with the export)"), rows=4)
    table = forms.ChoiceField(choices=TableFormat, initial=TableFormat.CSV, widget=forms.RadioSelect)


@admin.register(Export)
class ExportAdmin(ReadOnlyAdmin):
    """Exports are read-only. The search finds the exports that contain an entity, by the register."""

    no_rows_text = _(
        "No exports yet. An export has events and the audit entries that prove them, in a file that can be verified "
        "without the hub. Auditors create exports."
    )
    list_display = ("requested", "requester", "reason", "filters", "status", "events", "available_until")
    change_list_template = "console/export_jobs/list.html"
    list_select_related = detail_related = ("requested_by", "approved_by")
    parse_public_id = UUID
    ordering = ("-id",)
    actions = None
    # Django shows a search box only if there are search fields. `get_search_results` asks the register instead.
    search_fields = ("uuid",)
    search_help_text = _("Enter a complete entity id to find the exports that contain it.")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return super().changelist_view(request, {"may_export": _may_export(request), **(extra_context or {})})

    def list_headline(self, rows: Sequence[Any]) -> str:
        states = Counter(export.state for export in rows)
        awaiting, open_ones = (
            states[ExportState.AWAITING],
            states[ExportState.WAITING] + states[ExportState.RUNNING],
        )
        if awaiting:
            text = ngettext(
                "%(count)d export is waiting for a second person.",
                "%(count)d exports are waiting for a second person.",
                awaiting,
            )
            return text % {"count": awaiting}
        text = ngettext("%(count)d export is in progress.", "%(count)d exports are in progress.", open_ones)
        return text % {"count": open_ones} if open_ones else gettext("No export is in progress.")

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Hide the number of results unless a search term is given."""
        changelist = super().get_changelist_instance(request)
        if not changelist.query:
            changelist.full_result_count = changelist.result_count
        return changelist

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        return (queryset.filter(pk__in=exports_containing(term)) if term else queryset), False

    @admin_page("new/", "new")
    def new_view(self, request: HttpRequest) -> HttpResponse:
        """Show the selection of the export. A POST with a reason requests it."""
        self._check_permission(request)
        if absolute_query := EVENT_FILTERS.canonical_query(request.GET):
            return redirect(f"{request.path}{absolute_query}")
        try:
            event_filter = resolve_filter(
                (request.POST if request.method == "POST" else request.GET).dict(), timezone.now()
            )
        except InvalidFilter:
            messages.error(request, _("The filters in this address are invalid. Choose them again."))
            return redirect("admin:exports_export_new")
        form = ExportRequestForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            return self._request_export(request, event_filter, form)
        # A form that is shown again after a POST has its filters in the POST, not in the address.
        params = EVENT_FILTERS.read_params(request.GET) or event_filter.to_params()
        return self.render_page(
            request, "console/export_jobs/new.html", request_context(params, event_filter, form)
        )

    def _request_export(
        self, request: HttpRequest, event_filter: EventFilter, form: ExportRequestForm
    ) -> HttpResponse:
        require_fresh_login(request)
        answer = form.cleaned_data
        try:
            export = lifecycle.request_export(
                event_filter, by=request.user, address=client_address(request), **answer
            )
        except lifecycle.TooManyExports as error:
            messages.error(request, str(error))
            return redirect("admin:exports_export_changelist")
        return redirect("admin:exports_export_change", export.uuid)

    def render_detail(self, request: HttpRequest, row: Export) -> HttpResponse:
        """Show the progress of an export; once it is finished, how to verify it."""
        return self.render_page(
            request,
            "console/export_jobs/detail.html",
            detail_context(row, request.user, may_export=_may_export(request)),
        )

    @admin_page("<uuid:key>/cancel/", "cancel", button_on="change")
    def cancel_view(self, request: HttpRequest, key: UUID) -> HttpResponse:
        export = self._get_export(request, key)
        if lifecycle.cancel_export(export, by=request_actor(request), address=client_address(request)):
            messages.success(request, _("The export was cancelled. Its partial files were deleted."))
        else:
            messages.warning(request, _("The export had already finished."))
        return redirect("admin:exports_export_change", export.uuid)

    @admin_page("<uuid:key>/approve/", "approve", button_on="change")
    def approve_view(self, request: HttpRequest, key: UUID) -> HttpResponse:
        """Approve an export as the second person. POST only."""
        export = self._get_export(request, key)
        require_fresh_login(request)
        try:
            approve_export(export, by=require_staff_user(request), address=client_address(request))
        except ApprovalRefused as error:
            messages.error(request, str(error))
        else:
            messages.success(request, _("Approved. A worker makes the export."))
        return redirect("admin:exports_export_change", export.uuid)

    @admin_page("<uuid:key>/download/", "download")
    def download_view(self, request: HttpRequest, key: UUID) -> HttpResponseBase:
        """Send the archive. The audit log has the download before the first byte is sent."""
        export = self._get_export(request, key)
        if export.state != ExportState.DONE or not export.archive.exists():
            messages.error(request, _("The file of this export is missing. Export again."))
            return redirect("admin:exports_export_change", export.uuid)
        require_fresh_login(request)
        # Committed before the response begins: no byte of the archive leaves without an audit entry.
        with transaction.atomic():
            details = {"sha256": export.sha256, "bytes": export.size, "address": client_address(request)}
            lifecycle.append_export_entry(export, "export.downloaded", request_actor(request), details)
        response = FileResponse(export.archive.open("rb"), as_attachment=True, filename=archive_name(export))
        response["Cache-Control"] = "no-store"
        return response

    def _get_export(self, request: HttpRequest, key: UUID) -> Export:
        self._check_permission(request)
        export: Export | None = self.get_object(request, str(key))
        if export is None:
            raise Http404
        return export

    def _check_permission(self, request: HttpRequest) -> None:
        if not (self.has_view_permission(request) and _may_export(request)):
            refuse_download(request, {"what": "evidence"})

    requested = column(Export, _("requested"), lambda export: render_time(export.created_at))
    requester = column(Export, _("by"), requester_name)
    filters = column(
        Export,
        _("filters"),
        lambda export: "; ".join(describe_filter(export.filter)) or gettext("all events"),
    )
    status = column(Export, _("status"), lambda export: export_mark(export.state))
    events = column(Export, _("events"), lambda export: "–" if export.total is None else f"{export.total:,}")
    available_until = column(
        Export,
        _("file available until"),
        lambda export: render_time(export.expires_at) if export.state == ExportState.DONE else "–",
    )


def _may_export(request: HttpRequest) -> bool:
    return request.user.has_perm(MAY_EXPORT)
