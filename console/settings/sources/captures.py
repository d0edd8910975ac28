"""The page of a source's capture window: read the unverified requests that were stored. People who may change the
source may open a window.
"""

from dataclasses import dataclass
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
from console.payloads.masking import MASK, mask_text
from console.payloads.reveal import RevealPurpose, reveal_row, row_seconds_revealed
from console.permissions import CONTENTS
from console.requests.list_page import size_text
from console.requests.results import SIGNATURE_REASON_NAMES
from database.encryption.at_rest import CannotDecrypt
from webhooks.captures.capture_windows import (
    CUT_BODY,
    MAX_CAPTURED,
    MAX_WHOLE_BYTES,
    WINDOW_LENGTH,
    decrypt_captured_request,
    find_open_window,
    list_captured_requests,
    open_window,
)
from webhooks.models import CapturedRequest, CaptureWindow, Source

MAX_SHOWN = 20
# Bytes of a body whose structure is shown while it is masked.
MAX_MASKED = 65_536


@dataclass(frozen=True, slots=True)
class CapturedRow:
    """A captured request as shown. `text`: its headers and its body, masked unless they are revealed. `stored_bytes`:
    how much of its body is stored; None if that cannot be decrypted.
    """

    row: CapturedRequest
    text: str
    stored_bytes: int | None

    @property
    def reason(self) -> str:
        return str(SIGNATURE_REASON_NAMES.get(self.row.reason, self.row.reason))

    @property
    def size(self) -> str:
        return size_text(self.row.size)

    @property
    def stored_size(self) -> str:
        """Return the size of what is stored of the body if that is not all of it, "" otherwise."""
        is_cut = self.stored_bytes is not None and self.stored_bytes < self.row.size
        return size_text(self.stored_bytes or 0) if is_cut else ""


def build_captured_row(row: CapturedRequest, *, is_revealed: bool) -> CapturedRow:
    """Format a captured request as text: a line for each header, an empty line, the body."""
    try:
        headers, body = decrypt_captured_request(row)
    except CannotDecrypt:
        return CapturedRow(row, _("Encrypted with a key that the hub no longer has."), None)
    lines = [f"{name}: {value if is_revealed else MASK}" for name, value in headers.items()]
    shown_text = "\n".join([*lines, "", body.decode("utf-8", "replace") if is_revealed else _mask_body(body)])
    # JSON can spell lone surrogates, which UTF-8 cannot.
    return CapturedRow(row, shown_text.encode("utf-8", "backslashreplace").decode(), len(body))


def _mask_body(body: bytes) -> str:
    # Of a large body a structure of thousands of lines, all masked, would say little.
    return mask_text(body.decode("utf-8", "replace")) if len(body) <= MAX_MASKED else MASK


@admin_page("<int:pk>/capture/", "capture")
def capture_view(source_admin: AuditedAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """Show the window and what it stored; on POST with a reason, open a window of 15 minutes."""
    source = _get_source(source_admin, request, pk)
    may_open = source_admin.has_change_permission(request, source)
    if request.method == "POST" and not may_open:
        raise PermissionDenied
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        _open_window(source_admin, request, source, form.cleaned_data["reason"])
        return redirect("admin:webhooks_source_capture", pk)
    return _render_window(source_admin, request, source, form, may_open=may_open)


@admin_page("<int:pk>/capture/reveal/", "capture_reveal", button_on="capture")
def reveal_captures_view(source_admin: AuditedAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """Show the stored requests of a source to this person for 60 seconds."""
    if not request.user.has_perm(CONTENTS):
        raise PermissionDenied
    source = _get_source(source_admin, request, pk)
    entry = (source_admin.audit_stream(source.pk), "source.captures-revealed")
    reveal_row(request, RevealPurpose.CAPTURES, source.pk, entry)
    return redirect("admin:webhooks_source_capture", pk)


def _get_source(source_admin: AuditedAdmin, request: HttpRequest, pk: int) -> Source:
    source_admin.require_permissions(request, "webhooks.view_refusal")
    return get_object_or_404(Source, pk=pk)


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
    find_open_window.invalidate()
    messages.success(request, _("Unverified requests of this source are stored for 15 minutes."))


def _render_window(
    source_admin: AuditedAdmin, request: HttpRequest, source: Source, form: ReasonForm, *, may_open: bool
) -> TemplateResponse:
    now = timezone.now()
    may_reveal = request.user.has_perm(CONTENTS)
    seconds = row_seconds_revealed(request, RevealPurpose.CAPTURES, source.pk) if may_reveal else 0
    window = CaptureWindow.objects.filter(source=source, ends_at__gt=now).first()
    context: dict[str, Any] = {
        "title": _("Captured requests of %(source)s") % {"source": source},
        "source": source,
        "window": window,
        "is_full": window is not None and window.captured >= MAX_CAPTURED,
        "most": MAX_CAPTURED,
        "whole": size_text(MAX_WHOLE_BYTES),
        "cut": size_text(CUT_BODY),
        "shown": MAX_SHOWN,
        "rows": [
            build_captured_row(row, is_revealed=seconds > 0)
            for row in list_captured_requests(source, now)[:MAX_SHOWN]
        ],
        "revealed_for": seconds,
        "may_reveal": may_reveal,
        "may_open": may_open,
        "reason_form": form,
    }
    return source_admin.render_page(request, "console/settings/sources/captures.html", context)
