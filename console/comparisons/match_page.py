"""Decide about one record that was found by a value: link it, let a new one be created later, or leave it."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.format.canonical_json import JSONValue
from console.base.admin_pages import AdminWithPages, admin_page
from console.base.audit_trail import acting_person, record_action
from console.base.forms import ReasonField
from console.comparisons.difference_page import ACTION
from console.comparisons.match_desk import DeskRow, describe_desk, fetch_live, newer_comparison
from console.comparisons.result import find_comparison
from console.payloads.reveal import RevealPurpose, reveal_row, row_seconds_revealed
from console.permissions import CONTENTS, MAY_APPROVE
from sync.comparisons.match_linking.decisions import FoundDecision, decide_found
from sync.comparisons.match_linking.requests import LinkingRefused, select_found
from sync.models import Comparison, Difference

_LINK = f"{FoundDecision.LINK}:"
_RESULTS = {
    FoundDecision.LINK: gettext_lazy("The record was linked. Nothing was sent."),
    FoundDecision.CREATE: gettext_lazy(
        "A new record is created when the missing records are made equal, or with the next event. Nothing was sent."
    ),
    FoundDecision.LEAVE: gettext_lazy("The record is left unlinked. Nothing was sent."),
}


class FoundForm(forms.Form):
    """A choice and its reason. The records are checked when it is carried out: they are found anew."""

    choice = forms.ChoiceField(
        widget=forms.RadioSelect,
        label=gettext_lazy("Decision"),
        error_messages={"required": gettext_lazy("Choose what to do.")},
    )
    reason = ReasonField(
        label=gettext_lazy("Reason"),
        help_text=gettext_lazy("Recorded in the audit log with your name. Don't include personal data."),
    )

    def __init__(self, row: DeskRow, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["choice"].choices = _possible_decisions(row, self.data)  # type: ignore[attr-defined]


def _possible_decisions(row: DeskRow, data: Any) -> list[tuple[str, str]]:
    table = row.live.table if row.live else None
    records = [column.record_id for column in table.columns] if table else []
    # The page that is posted showed records which are not fetched again before the decision.
    posted = str(data.get("choice", ""))
    if posted.startswith(_LINK) and not records:
        records = [posted.removeprefix(_LINK)]
    return [
        *((f"{_LINK}{one}", _("Link record %(record)s") % {"record": one}) for one in records),
        (FoundDecision.CREATE.value, _("None of these: create a new record later")),
        (FoundDecision.LEAVE.value, _("Leave it: no record is linked")),
    ]


@admin_page("<uuid:key>/match/<int:number>/", "decide")
def match_view(
    comparison_admin: AdminWithPages, request: HttpRequest, key: UUID, number: int
) -> HttpResponse:
    """Show a record that was found by a value. A POST fetches both sides, as the page of a difference does, or decides
    with a reason.
    """
    comparison_admin.require_permissions(request)
    comparison = find_comparison(key)
    row = _find_row(comparison, number)
    shows_values, may_decide = request.user.has_perm(CONTENTS), request.user.has_perm(MAY_APPROVE)
    form = FoundForm(row, request.POST if "decide" in request.POST else None)
    if form.is_bound:
        comparison_admin.require_permissions(request, MAY_APPROVE)
        if form.is_valid():
            return _carry_out(request, row.row, form)
    elif request.method == "POST" and shows_values:
        entry = (comparison.stream, ACTION)
        reveal_row(request, RevealPurpose.DIFFERENCES, row.row.pk, entry, **_entry_details(row.row))
        return redirect("admin:sync_comparison_decide", key, number)
    seconds = row_seconds_revealed(request, RevealPurpose.DIFFERENCES, row.row.pk) if shows_values else 0
    is_opened = request.method == "POST" and not (shows_values or form.is_bound)
    if is_opened:
        with transaction.atomic():
            record_action(request, comparison.stream, ACTION, {**_entry_details(row.row), "values": False})
    if is_opened or seconds:
        [row] = fetch_live(comparison, [row], is_masked=not seconds)
        form = form if form.is_bound else FoundForm(row)
    context = {
        "title": _("Match of %(type)s %(id)s") % {"type": comparison.entity_type, "id": row.row.entity_id},
        "comparison": comparison,
        "desk_row": row,
        "match_form": form if may_decide and row.is_open else None,
        "shows_values": shows_values,
        "seconds": seconds,
        "newer": newer_comparison(comparison),
    }
    return comparison_admin.render_page(request, "console/comparisons/match_page.html", context)


def _find_row(comparison: Comparison, number: int) -> DeskRow:
    rows = describe_desk(comparison, list(select_found(comparison).filter(pk=number)))
    if not rows:
        raise Http404(f"There is no difference {number} on this desk")
    return rows[0]


def _entry_details(row: Difference) -> dict[str, JSONValue]:
    # Not the id of the entity: it may name a person, and the audit log is never erased.
    return {"difference": row.pk, "kind": row.kind}


def _carry_out(request: HttpRequest, row: Difference, form: FoundForm) -> HttpResponse:
    answer: dict[str, str] = form.cleaned_data
    is_linking = answer["choice"].startswith(_LINK)
    decision = FoundDecision.LINK if is_linking else FoundDecision(answer["choice"])
    record_id = answer["choice"].removeprefix(_LINK) if is_linking else ""
    try:
        decide_found(row, decision, acting_person(request), answer["reason"], record_id)
    except LinkingRefused as error:
        messages.error(request, str(error))
        return redirect("admin:sync_comparison_decide", row.comparison.uuid, row.pk)
    messages.success(request, str(_RESULTS[decision]))
    return redirect("admin:sync_comparison_match", row.comparison.uuid)
