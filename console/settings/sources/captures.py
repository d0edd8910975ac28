"""The page of a source's capture window: the requests that were stored. People who may change the source may open a
window, and close it.
"""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _

from console.base.admin_pages import admin_page
from console.base.audit_trail import record_action
from console.base.audited_admin import AuditedAdmin
from console.base.forms import ReasonForm
from console.requests.list_page import size_text
from console.requests.results import SIGNATURE_REASON_NAMES
from console.settings.sources.capture_status import load_capture_status
from console.ui.outcome_texts import describe_code
from webhooks.captures.capture_windows import (
    CUT_BODY,
    MAX_WHOLE_BYTES,
    WINDOW_LENGTH,
    close_window,
    list_captured_requests,
    open_window,
)
from webhooks.captures.places import MAX_CAPTURED, RESERVED
from webhooks.models import CapturedRequest, CaptureWindow, Source
from webhooks.receiving.source_cache import find_source

MAX_SHOWN = 2 * MAX_CAPTURED


@admin_page("<int:pk>/capture/", "capture")
def capture_view(source_admin: AuditedAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """Show the window and what was stored; on POST with a reason, open a window of 60 minutes."""
    source = get_source(source_admin, request, pk)
    may_open = source_admin.has_change_permission(request, source)
    if request.method == "POST" and not may_open:
        raise PermissionDenied
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        _open_window(source_admin, request, source, form.cleaned_data["reason"])
        return redirect("admin:webhooks_source_capture", pk)
    return _render_window(source_admin, request, source, form, may_open=may_open)


@admin_page("<int:pk>/capture/close/", "capture_close", button_on="capture")
def close_capture_view(source_admin: AuditedAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """Close the window before its time is over. What it stored stays until it is 24 hours old."""
    source: Source = source_admin.get_changeable(request, pk)
    with transaction.atomic():
        counts = close_window(CaptureWindow.objects.filter(source=source))
        if counts is not None:
            record_action(request, source_admin.audit_stream(source.pk), "source.capture-closed", counts)
    if counts is None:
        messages.warning(request, _("No capture window is open. Nothing was changed."))
    else:
        find_source.invalidate()
        messages.success(request, _("The capture window is closed."))
    return redirect("admin:webhooks_source_capture", pk)


def get_source(source_admin: AuditedAdmin, request: HttpRequest, pk: int) -> Source:
    """Return a source. Raises PermissionDenied unless this person may see its requests."""
    source_admin.require_permissions(request, "webhooks.view_refusal")
    return get_object_or_404(Source, pk=pk)


def describe_result(row: CapturedRequest) -> str:
    """Return in words what the verification of a captured request, or what came before it, said."""
    if row.is_verified and not row.reason:
        return _("Verified")
    if row.reason:
        return str(SIGNATURE_REASON_NAMES.get(row.reason) or describe_code(row.reason).title)
    return _("Not verified")


def _open_window(source_admin: AuditedAdmin, request: HttpRequest, source: Source, reason: str) -> None:
    with transaction.atomic():
        window = open_window(source, timezone.now())
        if window is not None:
            details = {"reason": reason, "minutes": WINDOW_LENGTH.seconds // 60, "most": MAX_CAPTURED}
            record_action(request, source_admin.audit_stream(source.pk), "source.capture-opened", details)
    if window is None:
        messages.warning(request, _("A capture window is already open. Nothing was changed."))
        return
    # Other processes notice within a second.
    find_source.invalidate()
    messages.success(request, _("Requests to this source are stored for 60 minutes."))


def _render_window(
    source_admin: AuditedAdmin, request: HttpRequest, source: Source, form: ReasonForm, *, may_open: bool
) -> TemplateResponse:
    now = timezone.now()
    rows = list_captured_requests(source, now).defer("encrypted")[:MAX_SHOWN]
    context: dict[str, Any] = {
        "title": _("Captured requests of %(source)s") % {"source": source},
        "source": source,
        "window": load_capture_status(source, now),
        "most": MAX_CAPTURED,
        "reserved": RESERVED,
        "whole": size_text(MAX_WHOLE_BYTES),
        "cut": size_text(CUT_BODY),
        "shown": MAX_SHOWN,
        "rows": [(row, describe_result(row), size_text(row.size)) for row in rows],
        "may_open": may_open,
        "reason_form": form,
    }
    return source_admin.render_page(request, "console/settings/sources/captures.html", context)
