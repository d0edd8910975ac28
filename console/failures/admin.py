"""Show failure groups, worst first: what failed, the owner, and actions for the whole group."""

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from console.base.admin_pages import admin_page
from console.base.audit_trail import acting_person
from console.base.read_only_admin import ReadOnlyAdmin
from console.deliveries.manual_closing import PENDING_CLOSINGS, BackLink, close_selected
from console.failures.earlier_change import find_earlier_change
from console.failures.forms import GROUP_FORM_ID, FailureDecisionForm, FailureNotesForm, posted_reason
from console.failures.incident import MAX_READ, load_incident
from console.failures.pages import failure_tabs, load_history, replay_choices
from console.failures.sentences import load_sentences, sentence_source
from console.permissions import CONTENTS, MAY_CLOSE, MAY_REPLAY, MAY_TEND
from console.replays.start_pages import select_matching
from console.ui.links import failed_group_query
from console.ui.outcome_texts import advise_after_cause, describe_failure, is_replayable
from sync.models import FailureGroup, FailureGroupState
from sync.models.failure import dead_deliveries_of
from sync.operations.failure_decisions import decide_group, update_notes
from sync.operations.held_deliveries import MAX_DELIVERIES, DecisionRefused
from sync.operations.passed_causes import load_settings_changes


@admin.register(FailureGroup)
class FailureGroupAdmin(ReadOnlyAdmin):
    """Lists failure groups. Workers create the rows, people decide on them."""

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """List the groups, by six statements."""
        self.require_permissions(request)
        tabs = failure_tabs()
        current = next((tab for tab in tabs if tab.name == request.GET.get("shown")), tabs[0])
        context = {
            "title": _("Failures"),
            "rows": current.to_rows(with_sentences=request.user.has_perm(CONTENTS)),
            "tabs": tabs,
            "current": current.name,
        }
        return self.render_page(request, "console/failures/list.html", context)

    def get_queryset(self, request: HttpRequest) -> QuerySet[FailureGroup]:
        return super().get_queryset(request).select_related("connection", "owner")

    @admin_page("<int:pk>/decide/", "decide", button_on="change")
    def decide_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Acknowledge, resolve, ignore or reopen a group. POST only; `?replay=` a pace leads on to confirm the replay
        of the whole group.
        """
        group = self._get_group(request, pk, MAY_TEND)
        form, notes_form = FailureDecisionForm(request.POST), FailureNotesForm(request.POST, group)
        if not (form.is_valid() and notes_form.is_valid()):
            return self.render_detail(request, group, care_form=form, notes_form=notes_form)
        answer = form.cleaned_data
        try:
            # Both or neither: the page that is shown after a refusal has all that was typed.
            with transaction.atomic():
                update_notes(group, notes_form.to_values(), by=acting_person(request))
                decide_group(
                    group,
                    FailureGroupState(answer["decision"]),
                    by=acting_person(request),
                    reason=answer["reason"],
                    until=form.ignored_until(timezone.now()),
                )
        except DecisionRefused as error:
            return self._refusal_page(request, pk, error, care_form=form)
        pace = request.GET.get("replay")
        if pace and request.user.has_perm(MAY_REPLAY):
            return select_matching(request, QueryDict(failed_group_query(group)).dict(), pace)
        messages.success(request, _("Saved."))
        return redirect("admin:sync_failuregroup_change", pk)

    @admin_page("<int:pk>/note/", "note", button_on="change")
    def note_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Save owner, note, known fix and ticket. POST only."""
        group = self._get_group(request, pk, MAY_TEND)
        if (refusal := self._save_notes(request, group)) is not None:
            return refusal
        if reason := posted_reason(request):
            # No redirect: it would lose the reason that was typed for another button.
            group = self._get_group(request, pk, MAY_TEND)
            return self.render_detail(
                request, group, care_form=FailureDecisionForm(initial={"reason": reason})
            )
        return redirect("admin:sync_failuregroup_change", pk)

    @admin_page("<int:pk>/close/", "close", button_on="change")
    def close_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Store the group's failed deliveries, the oldest thousand at most, and lead on to confirm closing them.
        POST only. Saves the notes too, if the person may change them.
        """
        group = self._get_group(request, pk, MAY_CLOSE)
        if (
            request.user.has_perm(MAY_TEND)
            and (refusal := self._save_notes(request, group, says_so=False)) is not None
        ):
            return refusal
        keys = list(
            dead_deliveries_of(group)
            .order_by("settled_at", "pk")
            .values_list("pk", flat=True)[:MAX_DELIVERIES]
        )
        if keys:
            pending = {"deliveries": keys, "reason": posted_reason(request)}
            return redirect(
                "admin:sync_failuregroup_close_chosen", pk, PENDING_CLOSINGS.add(request, pending)
            )
        messages.warning(request, _("No open failures left in this group."))
        return redirect("admin:sync_failuregroup_change", pk)

    @admin_page("<int:pk>/close/<uuid:key>/", "close_chosen")
    def close_chosen_view(self, request: HttpRequest, pk: int, key: UUID) -> HttpResponse:
        """Confirm closing exactly the stored deliveries."""
        self.require_permissions(request, MAY_CLOSE, "webhooks.view_event")
        group = get_object_or_404(self.get_queryset(request), pk=pk)
        back = BackLink(
            reverse("admin:sync_failuregroup_change", args=[pk]),
            describe_failure(group.code, group.connection).title,
        )
        return close_selected(self, request, key, back)

    def _get_group(self, request: HttpRequest, pk: int, permission: str) -> FailureGroup:
        self.require_permissions(request, permission)
        return get_object_or_404(self.get_queryset(request), pk=pk)

    def _save_notes(
        self, request: HttpRequest, group: FailureGroup, *, says_so: bool = True
    ) -> HttpResponse | None:
        """Save what was typed into the notes. Returns the page with the errors if it was refused."""
        form = FailureNotesForm(request.POST, group)
        if not form.is_valid():
            reason = {"reason": posted_reason(request)}
            care_form = FailureDecisionForm(initial=reason)
            return self.render_detail(request, group, care_form=care_form, notes_form=form)
        try:
            is_changed = update_notes(group, form.to_values(), by=acting_person(request))
        except DecisionRefused as error:
            return self._refusal_page(request, group.pk, error)
        if is_changed and says_so:
            messages.success(request, _("Saved."))
        return None

    def _refusal_page(
        self, request: HttpRequest, pk: int, error: DecisionRefused, **forms: Any
    ) -> HttpResponse:
        """Show the group as it is now, with the error and all that was typed."""
        messages.error(request, str(error))
        group = get_object_or_404(self.get_queryset(request), pk=pk)
        return self.render_detail(request, group, notes_form=FailureNotesForm(request.POST, group), **forms)

    def render_detail(self, request: HttpRequest, row: FailureGroup, **forms: Any) -> TemplateResponse:
        incident, changes = load_incident(row), load_settings_changes()
        failed, passed = incident.number, changes.of_group(row)
        words = advise_after_cause(describe_failure(row.code, row.connection), passed)
        context = {
            "title": words.title,
            "group": row,
            "words": words,
            "helps": is_replayable(row.code) or passed is not None,
            "has_passed": passed is not None,
            "failed": failed,
            "sentence": load_sentences([row]).get(row.pk, "") if request.user.has_perm(CONTENTS) else "",
            "sentence_source": sentence_source(row),
            "is_waiting": row.state in (FailureGroupState.OPEN, FailureGroupState.ACKNOWLEDGED),
            "incident": incident,
            "earlier_change": find_earlier_change(row, incident.began_at, changes, request.user),
            "most_read": MAX_READ,
            "replays": replay_choices(row, failed),
            "query": failed_group_query(row),
            "most_closed": min(failed, MAX_DELIVERIES),
            "history": load_history(row),
            "care_form": FailureDecisionForm(),
            "notes_form": FailureNotesForm(None, row),
            "form_id": GROUP_FORM_ID,
            **forms,
        }
        return self.render_page(request, "console/failures/detail.html", context)

    def template_permissions(self, request: HttpRequest) -> dict[str, bool]:
        return {
            "tend": request.user.has_perm(MAY_TEND),
            "close": request.user.has_perm(MAY_CLOSE) and request.user.has_perm("webhooks.view_event"),
            "replay": request.user.has_perm(MAY_REPLAY),
            "events": request.user.has_perm("webhooks.view_event"),
        }
