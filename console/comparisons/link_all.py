"""Link all records of a comparison whose verified value is equal and unique: a preview, then the act."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from console.base.admin_pages import AdminWithPages, admin_page
from console.base.audit_trail import acting_person
from console.base.decisions import deciders_text
from console.base.forms import ReasonForm
from console.comparisons.match_desk import newer_comparison
from console.comparisons.match_words import (
    OUTCOME_LABELS,
    linkable_text,
    linked_text,
    linking_pill,
    problem_text,
)
from console.comparisons.result import find_comparison
from console.permissions import MAY_APPROVE_REPLAY, MAY_CHANGE_ROUTES, approval_limit
from sync.comparisons.match_linking.requests import (
    LinkingRefused,
    apply_linking,
    approve_linking,
    cancel_linking,
    newest_linking,
    request_preview,
    select_found,
    who_can_approve,
    why_not_approve,
)
from sync.models import Comparison, MatchLinking, MatchLinkingState, MatchOutcome


@dataclass(frozen=True, slots=True)
class OutcomeCount:
    """How many subjects have an outcome, with its label."""

    key: str
    label: str
    count: int


@dataclass(frozen=True, slots=True)
class LinkingSummary:
    """A run as the page shows it."""

    run: MatchLinking

    @property
    def pill(self) -> SafeString:
        return linking_pill(self.run)

    @property
    def problem(self) -> str:
        return problem_text(self.run)

    @property
    def counts(self) -> list[OutcomeCount]:
        """Return the numbers of the preview, or of the links once it was applied; the main one also if it is 0."""
        shown = self.run.previewed if self._is_preview else self.run.counts
        main = MatchOutcome.VERIFIED_UNIQUE if self._is_preview else MatchOutcome.LINKED
        return [
            OutcomeCount(outcome, str(label), shown.get(outcome, 0))
            for outcome, label in OUTCOME_LABELS.items()
            if shown.get(outcome) or outcome == main
        ]

    @property
    def _is_preview(self) -> bool:
        return not self.run.counts or self.run.state in (MatchLinkingState.READY, MatchLinkingState.AWAITING)

    @property
    def checked(self) -> int:
        return sum(self.run.counts.values())

    @property
    def sentence(self) -> str:
        """Return what the run has done, or would do."""
        if self.run.state == MatchLinkingState.DONE:
            return linked_text(self.run.counts.get(MatchOutcome.LINKED, 0))
        return linkable_text(self.run.linkable_count)


@admin_page("<uuid:key>/links/", "links")
def link_all_view(comparison_admin: AdminWithPages, request: HttpRequest, key: UUID) -> HttpResponse:
    """Show the last run; a POST starts a preview with a reason, applies, approves or cancels a run."""
    comparison_admin.require_permissions(request)
    may_link = request.user.has_perm(MAY_CHANGE_ROUTES)
    comparison = find_comparison(key)
    run = newest_linking(comparison)
    form = ReasonForm(request.POST if "preview" in request.POST else None)
    if request.method == "POST" and ("preview" not in request.POST or form.is_valid()):
        needed = MAY_APPROVE_REPLAY if "approve" in request.POST else MAY_CHANGE_ROUTES
        comparison_admin.require_permissions(request, needed)
        _carry_out(request, comparison, run, form)
        return redirect("admin:sync_comparison_links", key)
    context = {
        "title": _("Link all unique matches"),
        "comparison": comparison,
        "summary": None if run is None else LinkingSummary(run),
        "is_open": run is not None and run.is_open,
        "found": select_found(comparison).count(),
        "newer": newer_comparison(comparison),
        "reason_form": form,
        "may_link": may_link,
        **_approval_context(request, run),
    }
    return comparison_admin.render_page(request, "console/comparisons/link_all.html", context)


def _approval_context(request: HttpRequest, run: MatchLinking | None) -> dict[str, Any]:
    limit = approval_limit(request.user)
    context: dict[str, Any] = {"limit": limit, "needs_second": run is not None and run.linkable_count > limit}
    if run is None or run.state != MatchLinkingState.AWAITING:
        return context
    why_not = why_not_approve(run, acting_person(request))
    return {**context, "why_not": why_not, "deciders": deciders_text(who_can_approve(run))}


def _carry_out(request: HttpRequest, comparison: Comparison, run: MatchLinking | None, form: Any) -> None:
    person = acting_person(request)
    try:
        if "preview" in request.POST:
            request_preview(comparison, person, form.cleaned_data["reason"])
            return
        if run is None or str(run.uuid) != request.POST.get("run"):
            raise LinkingRefused(_("The run has changed in the meantime. Nothing was done."))
        if "apply" in request.POST:
            apply_linking(run, person, approval_limit(request.user))
        elif "approve" in request.POST:
            approve_linking(run, person)
        elif "cancel" in request.POST:
            cancel_linking(run, person)
            messages.success(request, _("Cancelled. Records that were linked already stay so."))
    except LinkingRefused as error:
        messages.error(request, str(error))
