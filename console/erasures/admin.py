"""Request the erasure of a person's data, with a reason, and let a second administrator confirm it."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from console.base.admin_pages import admin_page, column
from console.base.audit_trail import client_address, require_staff_user
from console.base.decisions import deciders_text, is_approval
from console.base.forms import parse_pk
from console.base.read_only_admin import ReadOnlyAdmin
from console.erasures.forms import ErasureRequestForm, PersonForm
from console.erasures.words import counted_rows, erasure_mark, ground_text
from console.ui.formatting import render_time
from console.ui.links import entity_url
from logins.fresh_login import require_fresh_login
from sync.erasure.requests import (
    CaseNumberRefused,
    ErasureRefused,
    decide_erasure,
    failure_text,
    request_erasure,
    resume_erasure,
    subject_of,
    who_can_confirm,
    why_not_confirm,
)
from sync.erasure.subject_data import ErasureSubject, count_rows
from sync.models import Erasure, ErasureState
from webhooks.models import Event, Source, is_erased

_LIST = "admin:sync_erasure_changelist"


def _entity_link(subject: Erasure | ErasureSubject) -> SafeString:
    """Return the entity's type, and its id as a link to its page. After the erasure the id is the pseudonym."""
    url = entity_url(subject.entity_type, subject.entity_id)
    return format_html('{} <a class="mono" href="{}">{}</a>', subject.entity_type, url, subject.entity_id)


@admin.register(Erasure)
class ErasureAdmin(ReadOnlyAdmin):
    """Lists the requests and their results. A second administrator decides on the page of a request."""

    allows_post = True
    list_display = (
        "requested",
        "entity",
        "status",
        "ground_column",
        "case_column",
        "requested_by",
        "decided_by",
    )
    list_display_links = ("requested",)
    list_select_related = ("requested_by", "decided_by")
    ordering = ("-id",)
    change_list_template = "console/erasures/list.html"
    no_rows_text = _(
        "No erasures yet. An erasure deletes what the hub stores about a person, after a second administrator has "
        "approved it."
    )

    def list_headline(self, rows: Sequence[Any]) -> str:
        states = Counter(erasure.state for erasure in rows)
        awaiting, running = states[ErasureState.REQUESTED], states[ErasureState.CONFIRMED]
        if awaiting:
            text = ngettext(
                "%(count)d erasure is waiting for a second administrator.",
                "%(count)d erasures are waiting for a second administrator.",
                awaiting,
            )
            return text % {"count": awaiting}
        text = ngettext("%(count)d erasure is in progress.", "%(count)d erasures are in progress.", running)
        return text % {"count": running} if running else gettext("No erasure is open.")

    @admin_page("find/", "find")
    def find_view(self, request: HttpRequest) -> HttpResponse:
        """Ask for type and id, filled in from an event's page. A POST shows the stored data."""
        self.require_permissions(request)
        form = (
            PersonForm(request.POST)
            if request.method == "POST"
            else PersonForm(initial=_initial_from_event(request))
        )
        if request.method == "POST" and form.is_valid():
            return self._show_preview(request, form, ErasureRequestForm(initial=form.cleaned_data))
        return self.render_page(
            request, "console/erasures/find.html", {"title": gettext("Erase a person"), "form": form}
        )

    @admin_page("request/", "request")
    def request_view(self, request: HttpRequest) -> HttpResponse:
        """Request the erasure that the preview showed. POST only."""
        self.require_permissions(request)
        form = ErasureRequestForm(request.POST)
        # Browsers open this address with GET after a login in between.
        if request.method != "POST" or "entity_id" not in request.POST:
            return redirect("admin:sync_erasure_find")
        if not form.is_valid():
            return self._show_preview(request, form, form)
        require_fresh_login(request)
        answer = form.cleaned_data
        try:
            erasure = request_erasure(
                form.to_person(),
                ground=answer["ground"],
                reason=answer["reason"],
                by=require_staff_user(request),
                address=client_address(request),
                case_number=answer["case_number"],
            )
        except CaseNumberRefused as error:
            form.add_error("case_number", str(error))
            return self._show_preview(request, form, form)
        except ErasureRefused as error:
            messages.error(request, str(error))
            return redirect("admin:sync_erasure_find")
        text = gettext("Requested. Nothing is erased until another administrator approves it.")
        messages.success(request, text)
        return redirect("admin:sync_erasure_change", erasure.pk)

    def render_detail(self, request: HttpRequest, row: Erasure) -> HttpResponse:
        """Show the request with the amount of data. A POST decides on it."""
        if request.method == "POST":
            return (
                self._resume_erasure(request, row)
                if "resume" in request.POST
                else self._decide_request(request, row)
            )
        is_open = row.state == ErasureState.REQUESTED
        context = {
            "title": gettext("Erasure of a %(type)s") % {"type": row.entity_type},
            "erasure": row,
            "mark": erasure_mark(row.state),
            "ground": ground_text(row.ground),
            "entity": _entity_link(row),
            "is_open": is_open,
            "failure": failure_text(row),
            "is_mine": row.requested_by_id == request.user.pk,
            "why_not": why_not_confirm(row, require_staff_user(request)) if is_open else "",
            "deciders": deciders_text(who_can_confirm(row)) if is_open else "",
            "counts": counted_rows(count_rows(subject_of(row)) if is_open else row.counts),
        }
        return self.render_page(request, "console/erasures/detail.html", context)

    def _decide_request(self, request: HttpRequest, erasure: Erasure) -> HttpResponse:
        confirms = is_approval(request, "confirm")
        if confirms is None:
            return redirect("admin:sync_erasure_change", erasure.pk)
        if confirms:
            require_fresh_login(request)
        try:
            decide_erasure(
                erasure, confirms=confirms, by=require_staff_user(request), address=client_address(request)
            )
        except ErasureRefused as error:
            messages.error(request, str(error))
        else:
            confirmed, refused = (
                gettext("Approved. The erasure has started."),
                gettext("Rejected or withdrawn. Nothing was erased."),
            )
            messages.success(request, confirmed if confirms else refused)
        return redirect("admin:sync_erasure_change", erasure.pk)

    def _resume_erasure(self, request: HttpRequest, erasure: Erasure) -> HttpResponse:
        require_fresh_login(request)
        try:
            resume_erasure(erasure, by=require_staff_user(request), address=client_address(request))
        except ErasureRefused as error:
            messages.error(request, str(error))
        else:
            messages.success(request, gettext("Resumed. A worker continues within seconds."))
        return redirect("admin:sync_erasure_change", erasure.pk)

    def _show_preview(self, request: HttpRequest, form: PersonForm, ask: ErasureRequestForm) -> HttpResponse:
        subject = form.to_person()
        counts = counted_rows(count_rows(subject))
        context = {
            "title": gettext("Stored data"),
            "whose": subject,
            "sources": Source.objects.filter(pk__in=subject.sources),
            "entity": _entity_link(subject),
            "counts": counts,
            "can_be_erased": bool(counts) and not is_erased(subject.entity_id),
            "records": subject.links.select_related("target").exclude(record_id="")[:20],
            "waiting": subject.open_deliveries.count(),
            "form": ask,
        }
        return self.render_page(request, "console/erasures/preview.html", context)

    def require_permissions(self, request: HttpRequest, *permissions: str) -> None:
        super().require_permissions(request, "sync.erase_subject", *permissions)

    requested = column(Erasure, _("requested"), lambda erasure: render_time(erasure.requested_at))
    entity = column(Erasure, _("entity"), _entity_link)
    status = column(Erasure, _("status"), lambda erasure: erasure_mark(erasure.state))
    ground_column = column(Erasure, _("legal ground"), lambda erasure: ground_text(erasure.ground))
    case_column = column(Erasure, _("case number"), lambda erasure: erasure.case_number)


def _initial_from_event(request: HttpRequest) -> dict[str, Any]:
    pk = parse_pk(request.GET.get("event", ""))
    event = None if pk is None else Event.objects.filter(pk=pk).first()
    if event is None:
        return {}
    return {"entity_type": event.entity_type, "entity_id": event.entity_id, "source": event.source_id}
