"""Page of one captured request: its values, each masked until somebody clicks it, each click an audit entry."""

from dataclasses import dataclass, replace
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from console.base.admin_pages import admin_page
from console.base.audited_admin import AuditedAdmin
from console.payloads.masking import MASK
from console.payloads.reveal import RevealPurpose, reveal_value, row_seconds_revealed
from console.permissions import CONTENTS, SEE_LEARNING
from console.requests.list_page import size_text
from console.settings.sources.captured_values import (
    MAX_VALUES,
    WHOLE,
    CapturedValue,
    list_headers,
    list_values,
    printable,
)
from console.settings.sources.captures import describe_result, get_source
from database.encryption.at_rest import CannotDecrypt
from webhooks.captures.capture_windows import decrypt_captured_request, list_captured_requests
from webhooks.models import CapturedRequest, Source


@dataclass(frozen=True, slots=True)
class CapturedContent:
    """What is stored of a request. `whole`: its body as it is stored."""

    headers: list[CapturedValue]
    values: list[CapturedValue]
    whole: CapturedValue


@admin_page("<int:pk>/capture/<int:key>/", "captured_request")
def captured_request_view(
    source_admin: AuditedAdmin, request: HttpRequest, pk: int, key: int
) -> HttpResponse:
    """Show a captured request, with the values that this person has clicked in the last minute."""
    source = get_source(source_admin, request, pk)
    row = _get_row(source, key)
    content = _read_content(row)
    context: dict[str, Any] = {
        "title": _("Captured request"),
        "source": source,
        "row": row,
        "result": describe_result(row),
        "size": size_text(row.size),
        "stored_size": size_text(row.stored_size),
        "may_reveal": may_reveal(request),
        "may_reveal_whole": request.user.has_perm(CONTENTS),
        "has_more": content is not None and len(content.values) > MAX_VALUES,
        "most_values": MAX_VALUES,
        "content": None if content is None else _hide_values(request, row, content),
    }
    return source_admin.render_page(request, "console/settings/sources/captured_request.html", context)


@admin_page("<int:pk>/capture/<int:key>/reveal/", "captured_value_reveal", button_on="capture")
def reveal_captured_value_view(
    source_admin: AuditedAdmin, request: HttpRequest, pk: int, key: int
) -> HttpResponse:
    """Show one value of a captured request to this person for 60 seconds. The whole body needs view_contents."""
    source = get_source(source_admin, request, pk)
    name = request.POST.get("value", "")
    if not may_reveal(request) or (name == WHOLE and not request.user.has_perm(CONTENTS)):
        raise PermissionDenied
    row = _get_row(source, key)
    content = _read_content(row)
    values = [*content.headers, *content.values[:MAX_VALUES], content.whole] if content is not None else []
    if name not in {value.key for value in values if value.is_masked}:
        raise Http404
    # The name of a field is the sender's, and could name a person, whom the audit log would never forget.
    details = {"request": row.pk, "received_at": f"{row.received_at:%Y-%m-%dT%H:%M:%SZ}", "value": name}
    entry = (source_admin.audit_stream(source.pk), "source.captured-value-revealed")
    reveal_value(request, RevealPurpose.CAPTURED_VALUES, f"{row.pk}.{name}", entry, details)
    page = reverse("admin:webhooks_source_captured_request", args=[source.pk, row.pk])
    return redirect(f"{page}#{name}")


def may_reveal(request: HttpRequest) -> bool:
    """True if this person may see values of captured requests."""
    return request.user.has_perm(SEE_LEARNING) or request.user.has_perm(CONTENTS)


def _get_row(source: Source, key: int) -> CapturedRequest:
    rows = list_captured_requests(source, timezone.now()).select_related("key")
    row: CapturedRequest = get_object_or_404(rows, pk=key)
    return row


def _read_content(row: CapturedRequest) -> CapturedContent | None:
    """Return what is stored of a request, None if it cannot be decrypted."""
    try:
        headers, body = decrypt_captured_request(row)
    except CannotDecrypt:
        return None
    whole = CapturedValue(WHOLE, "", printable(body.decode("utf-8", "replace")), is_masked=bool(body))
    return CapturedContent(list_headers(headers), list_values(body, headers.get("content-type", "")), whole)


def _hide_values(request: HttpRequest, row: CapturedRequest, content: CapturedContent) -> CapturedContent:
    """Return the content with MASK in place of each value that this person has not clicked."""

    def hide(value: CapturedValue) -> CapturedValue:
        if not value.is_masked:
            return value
        key = f"{row.pk}.{value.key}"
        if may_reveal(request) and row_seconds_revealed(request, RevealPurpose.CAPTURED_VALUES, key):
            return replace(value, is_masked=False)
        return replace(value, text=MASK)

    whole = hide(content.whole) if request.user.has_perm(CONTENTS) else replace(content.whole, text=MASK)
    return CapturedContent(
        [hide(value) for value in content.headers],
        [hide(value) for value in content.values[:MAX_VALUES]],
        whole,
    )
