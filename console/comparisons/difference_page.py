"""The page of one difference: both sides fetched now, on request, and what would change."""

from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.format.canonical_json import JSONValue
from config_schema.codes.codes import CodeTexts, is_about_identity
from console.base.admin_pages import AdminWithPages, admin_page
from console.base.audit_trail import record_action
from console.comparisons.difference_list import REPORTED, DifferenceRow, describe_differences
from console.comparisons.make_equal import choices_of_row
from console.comparisons.result import find_comparison
from console.comparisons.words import kind_text
from console.payloads.content import ChangeTable, planned_change_table
from console.payloads.reveal import RevealPurpose, reveal_row, row_seconds_revealed
from console.permissions import CONTENTS
from console.ui.outcome_texts import describe_code
from console.ui.scope_texts import describe_change
from sync.comparisons.live_plan import PlannedSubject, plan_subject
from sync.deliveries.routes import get_resolved_route
from sync.models import Comparison, Difference, DifferenceKind
from sync.planning.change import ChangeAction
from sync.planning.mapping_declaration import InvalidMapping

ACTION = "difference.opened"
_CHANGE_SENTENCES = {
    ChangeAction.CREATE: gettext_lazy("Made equal, a new record will be created."),
    ChangeAction.UPDATE: gettext_lazy("Made equal, the record will be updated."),
    ChangeAction.DELETE: gettext_lazy("Made equal, the record will be deleted."),
    ChangeAction.NOTHING: gettext_lazy("In step now: nothing would be sent."),
}


@dataclass(frozen=True, slots=True)
class LiveDifference:
    """A difference as it is now: a sentence, the names of the fields that differ and, for those who may see contents,
    their values. `problem`: why none of it is known or, with a sentence, what the change waits for.
    """

    change_sentence: str = ""
    fields: tuple[str, ...] = ()
    change: ChangeTable | None = None
    problem: CodeTexts | None = None


@admin_page("<uuid:key>/difference/<int:number>/", "difference")
def difference_view(
    comparison_admin: AdminWithPages, request: HttpRequest, key: UUID, number: int
) -> HttpResponse:
    """Show what is known of a difference. A POST fetches both sides: with their values, for a reason, for those who may
    see contents; with the names of the fields for others. Both are on the audit log before the first request.
    """
    comparison_admin.require_permissions(request)
    comparison = find_comparison(key)
    row = _find_difference(comparison, number)
    shows_values = request.user.has_perm(CONTENTS)
    # A record without an entity has nothing to compare it with.
    can_be_opened, live = bool(row.row.entity_id), None
    if request.method == "POST" and can_be_opened and shows_values:
        # The page that follows fetches both sides, as long as the values are revealed.
        entry = (comparison.stream, ACTION)
        reveal_row(request, RevealPurpose.DIFFERENCES, row.row.pk, entry, **_entry_details(row.row))
        return redirect("admin:sync_comparison_difference", key, number)
    seconds = row_seconds_revealed(request, RevealPurpose.DIFFERENCES, row.row.pk) if shows_values else 0
    if request.method == "POST" and can_be_opened:
        _record_opening(request, comparison, row.row)
        live = open_difference(comparison, row.row, shows_values=False)
    elif seconds:
        live = open_difference(comparison, row.row, shows_values=True)
    context = {
        "title": row.row.entity_id or row.row.record_id,
        "comparison": comparison,
        "row": row,
        "text": kind_text(row.row.kind, comparison),
        "live": live,
        "shows_values": shows_values,
        "seconds": seconds,
        "can_be_opened": can_be_opened,
        "equal": choices_of_row(request, comparison, row.row.kind),
    }
    return comparison_admin.render_page(request, "console/comparisons/difference.html", context)


def _find_difference(comparison: Comparison, number: int) -> DifferenceRow:
    found = comparison.differences.filter(pk=number, status__in=REPORTED)
    rows = describe_differences(comparison, list(found))
    if not rows:
        raise Http404(f"There is no difference {number} of this comparison")
    return rows[0]


def _record_opening(request: HttpRequest, comparison: Comparison, row: Difference) -> None:
    """Record that both sides are fetched without showing values."""
    with transaction.atomic():
        record_action(request, comparison.stream, ACTION, {**_entry_details(row), "values": False})


def _entry_details(row: Difference) -> dict[str, JSONValue]:
    # Not the id of the entity: it may name a person, and the audit log is never erased.
    return {"difference": row.pk, "kind": row.kind}


def open_difference(comparison: Comparison, row: Difference, *, shows_values: bool) -> LiveDifference:
    """Fetch both sides of a difference and plan what would make them equal. Sends nothing; its time is bounded."""
    event_type = "DELETE" if row.kind == DifferenceKind.ENTITY_GONE else "UPDATE"
    try:
        planned = plan_subject(get_resolved_route(comparison.route_id), row.entity_id, event_type=event_type)
    except InvalidMapping:
        return LiveDifference(problem=describe_code("unmappable", comparison.target.name))
    return _describe_plan(comparison, planned, shows_values=shows_values)


def _describe_plan(comparison: Comparison, planned: PlannedSubject, *, shows_values: bool) -> LiveDifference:
    change = planned.change
    problem = problem_texts(comparison, planned.code) if planned.code or change is None else None
    if change is None:
        return LiveDifference(problem=problem)
    return LiveDifference(
        describe_change(change, _CHANGE_SENTENCES),
        tuple(field.name for field in change.fields),
        planned_change_table(change, is_masked=False) if shows_values else None,
        problem,
    )


def problem_texts(comparison: Comparison, code: str) -> CodeTexts:
    """Return why a difference cannot be shown as it is now."""
    if code == "preview-late":
        return CodeTexts(_("The systems took too long to respond"), _("Try again later."), "")
    if code == "preview-paused":
        return CodeTexts(
            _("The connection is failing"), _("It failed repeatedly, so the hub does not call it."), ""
        )
    system = comparison.identity if is_about_identity(code) else comparison.target
    return describe_code(code, system.name)
