"""ModelAdmins of requests: receipts of verified requests, and refusals, in one list."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

from console.base.admin_pages import admin_page
from console.base.filtered_list import FilteredPageAdmin
from console.base.named_systems import systems_of_codes
from console.base.read_only_admin import ReadOnlyAdmin
from console.payloads.content import json_document, raw_content
from console.payloads.masking import UNREADABLE_EVENT_FIELDS, WEBHOOK_KEYWORDS
from console.payloads.reveal import RevealPurpose, reveal_row, row_seconds_revealed
from console.permissions import CONTENTS
from console.requests.list_page import REQUEST_FILTERS, build_request_list, requests_url, size_text
from console.requests.results import (
    RESULT_NAMES,
    RequestResult,
    reason_text,
    render_result,
    request_result,
)
from console.ui.outcome_texts import describe_code
from webhooks.batch_events import events_of_batch
from webhooks.models import Receipt, Refusal


@admin.register(Receipt)
class ReceiptAdmin(FilteredPageAdmin):
    """The list of all requests, and the page of a verified one."""

    filters = REQUEST_FILTERS
    detail_related = ("source", "event", "payload__subject", "answer__subject")

    @admin_page("<int:pk>/reveal/", "reveal", button_on="change")
    def reveal_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show the body of a request that is not a usable webhook to this person for 60 seconds."""
        self.require_permissions(request, CONTENTS)
        receipt = get_object_or_404(Receipt.objects.filter(event=None), pk=pk)
        entry = (f"setting:source:{receipt.source_id}", "request.revealed")
        reveal_row(request, RevealPurpose.REQUESTS, receipt.pk, entry, receipt=receipt.own_reference)
        return redirect("admin:webhooks_receipt_change", receipt.pk)

    def render_list(self, request: HttpRequest) -> HttpResponse:
        """Show receipts and refusals, as far as the person may see them."""
        context = {"title": _("Requests"), "page": build_request_list(request)}
        return self.render_page(request, "console/requests/list.html", context)

    def render_detail(self, request: HttpRequest, row: Receipt) -> HttpResponse:
        """Show what the request was answered with and, if it is not a usable webhook, its body."""
        result = request_result(row)
        seconds = row_seconds_revealed(request, RevealPurpose.REQUESTS, row.pk)
        is_revealed = seconds > 0 and request.user.has_perm(CONTENTS)
        systems = systems_of_codes([row.event_id]) if row.event_id is not None else {}
        system = systems.get((row.event_id or 0, row.code), "")
        context = {
            "title": reason_text(row, system),
            "receipt": row,
            "pointers": _fault_pointers(row),
            "body": raw_content(
                row.payload,
                _("Not stored, or deleted in the meantime."),
                is_masked=not is_revealed,
                shown=WEBHOOK_KEYWORDS if row.event_count is None else UNREADABLE_EVENT_FIELDS,
            ),
            "revealed_for": seconds if is_revealed else 0,
            "may_reveal": request.user.has_perm(CONTENTS) and row.payload is not None,
            "result": render_result(result),
            "words": describe_code(row.code, system),
            "size": size_text(row.size),
            "alike": requests_url(result=result, source=row.source.slug),
            "may_see_event": request.user.has_perm("webhooks.view_event"),
            "all_events_read": row.event_count is not None and row.payload_id is None,
            "batch_events": events_of_batch(row),
        }
        return self.render_page(request, "console/requests/receipt.html", context)


def _fault_pointers(receipt: Receipt) -> str:
    """Return the fields or entries of the webhook format at fault, as the stored answer names them; empty if it does
    not.
    """
    if receipt.event_id is not None:
        return ""
    errors = json_document(receipt.answer).get("errors") or ()
    return ", ".join(
        str(error.get("pointer") or error.get("entry", "")) for error in errors if isinstance(error, dict)
    )


@admin.register(Refusal)
class RefusalAdmin(ReadOnlyAdmin):
    """The page of refusals that share a row. The list of all requests shows them."""

    detail_related = ("source",)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return redirect("admin:webhooks_receipt_changelist")

    def render_detail(self, request: HttpRequest, row: Refusal) -> HttpResponse:
        """Show why the request was refused and what to do; of a handshake, that it was answered."""
        result = request_result(row)
        words = describe_code(row.code)
        is_handshake = result is RequestResult.HANDSHAKE
        context = {
            "title": str(RESULT_NAMES[result]) if is_handshake else words.title,
            "is_handshake": is_handshake,
            "refusal": row,
            "result": render_result(result),
            "reason": reason_text(row) if row.reason else "",
            "status": row.status,
            "words": words,
            "source": row.source.name if row.source else _("unknown"),
            "size": size_text(row.size),
            "alike": requests_url(result=result, source=row.source.slug if row.source else ""),
        }
        return self.render_page(request, "console/requests/refusal.html", context)
