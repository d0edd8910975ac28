"""The matching desk of a comparison: the records that were found by a value, a few on a page, with both sides of each.

Both sides are fetched on request only. Whoever may see contents sees the values, after a reason that is recorded before
the first request; others see which fields there are.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from config_schema.codes.codes import CodeTexts
from console.base.admin_pages import AdminWithPages, admin_page
from console.base.audit_trail import record_action
from console.base.damaged_rows import load_rows
from console.comparisons.difference_list import DifferenceRow, describe_differences
from console.comparisons.difference_page import ACTION, problem_texts
from console.comparisons.match_words import EVIDENCE_LABELS, evidence_text
from console.comparisons.result import find_comparison
from console.comparisons.words import count_text, pair_name
from console.payloads.match_table import MatchTable, build_match_table
from console.payloads.reveal import RevealPurpose, reveal_row, row_seconds_revealed
from console.permissions import CONTENTS, MAY_APPROVE
from console.ui.filter_set import FilterSet
from console.ui.filters import Filter, FilterParams
from console.ui.keyset import BY_KEY
from sync.comparisons.live_plan import DEADLINE_SECONDS, LiveReads, plan_subject
from sync.comparisons.match_linking.decisions import found_match
from sync.comparisons.match_linking.record_linking import pair_filter
from sync.comparisons.match_linking.requests import newest_linking, select_found
from sync.comparisons.requests import latest_comparison
from sync.deliveries.routes import get_resolved_route
from sync.models import (
    Comparison,
    Difference,
    DifferenceKind,
    Link,
    MatchChoice,
    MatchChoiceKind,
)
from sync.planning.mapping_declaration import InvalidMapping
from sync.previews.attempt_preview import PreviewRecorder
from sync.search.time_ranges import InvalidFilter

# Both sides of so many are fetched for a page, about four requests each.
DESK_SIZE = 10
_CHOICE_TEXTS = {
    MatchChoiceKind.CREATE: gettext_lazy("Gets a new record"),
    MatchChoiceKind.LEAVE: gettext_lazy("Left as it is"),
}


@dataclass(frozen=True, slots=True)
class LiveMatch:
    """Both sides of a row as they are now. Without a `table`, `problem` says why, or no record is found by a value."""

    table: MatchTable | None = None
    problem: CodeTexts | None = None


@dataclass(frozen=True, slots=True)
class DeskRow:
    """A row of the desk. `linked_id`: the record that the entity has by now. `choice`: what a person chose instead."""

    found: DifferenceRow
    linked_id: str = ""
    choice: MatchChoice | None = None
    live: LiveMatch | None = None

    @property
    def row(self) -> Difference:
        return self.found.row

    @property
    def evidence(self) -> str:
        return evidence_text(self.row.code)

    @property
    def choice_text(self) -> str:
        return str(_CHOICE_TEXTS[MatchChoiceKind(self.choice.choice)]) if self.choice else ""

    @property
    def is_open(self) -> bool:
        """True if a person can decide about it here."""
        return not (self.linked_id or self.found.held)


def is_known_evidence(code: str) -> bool:
    """True if a filter of the desk may ask for this evidence; `unknown`: of rows that were not confirmed."""
    return not code or code == "unknown" or code in EVIDENCE_LABELS


def _resolve_evidence(params: FilterParams, _now: datetime) -> str:
    code = params.get("evidence", "")
    if not is_known_evidence(code):
        raise InvalidFilter("an unknown evidence")
    return code


def _evidence_options() -> list[tuple[str, str]]:
    return [
        *((code, str(label)) for code, label in EVIDENCE_LABELS.items()),
        ("unknown", _("Not checked yet")),
    ]


_FILTERS = FilterSet(
    (Filter("evidence", gettext_lazy("Certainty"), partial(_evidence_options)),), _resolve_evidence
)


@admin_page("<uuid:key>/match/", "match")
def desk_view(comparison_admin: AdminWithPages, request: HttpRequest, key: UUID) -> HttpResponse:
    """List the records that a comparison found by a value. A POST fetches both sides of the rows of this page."""
    comparison_admin.require_permissions(request)
    comparison = find_comparison(key)
    asked = _FILTERS.read_request(request.GET)
    matching = select_found(comparison)
    if asked.resolved:
        matching = matching.filter(code="" if asked.resolved == "unknown" else asked.resolved)
    page = BY_KEY.fetch_page(
        asked.page_request,
        lambda condition, order, limit: load_rows(matching.filter(condition).order_by(*order)[:limit]),
        DESK_SIZE,
    )
    rows = describe_desk(comparison, page.rows)
    reveal_key = f"desk-{comparison.pk}-{rows[0].row.pk if rows else 0}"
    shows_values = request.user.has_perm(CONTENTS)
    seconds = row_seconds_revealed(request, RevealPurpose.DIFFERENCES, reveal_key) if shows_values else 0
    if request.method == "POST" and rows:
        details = {"differences": [row.row.pk for row in rows], "kind": str(DifferenceKind.FOUND_BY_VALUE)}
        if shows_values:
            # The page that follows fetches both sides, as long as the values are revealed.
            reveal_row(request, RevealPurpose.DIFFERENCES, reveal_key, (comparison.stream, ACTION), **details)
            return redirect(request.get_full_path())
        with transaction.atomic():
            record_action(request, comparison.stream, ACTION, {**details, "values": False})
    is_live = bool(seconds) or (request.method == "POST" and not shows_values)
    if is_live:
        rows = fetch_live(comparison, rows, is_masked=not seconds)
    context = {
        "title": _("Matching desk"),
        "pair": pair_name(comparison),
        "comparison": comparison,
        "rows": rows,
        "counts": _count_evidence(comparison),
        "is_live": is_live,
        "seconds": seconds,
        "shows_values": shows_values,
        "may_decide": request.user.has_perm(MAY_APPROVE),
        "linking": newest_linking(comparison),
        "newer": newer_comparison(comparison),
        **_page_context(asked.page_fields(page), is_filtered=bool(asked.resolved)),
    }
    return comparison_admin.render_page(request, "console/comparisons/match_desk.html", context)


def _page_context(fields: dict[str, Any], *, is_filtered: bool) -> dict[str, Any]:
    return {"chips": fields["chips"], "page_links": fields["page_links"], "is_filtered": is_filtered}


def newer_comparison(comparison: Comparison) -> Comparison | None:
    """Return the newest comparison of the pair if this is not it: then only that one is decided about."""
    newest = latest_comparison(comparison.route)
    return None if newest is None or newest.pk == comparison.pk else newest


@dataclass(frozen=True, slots=True)
class EvidenceCount:
    """How many rows have an evidence, and the address of these rows."""

    label: str
    count: str
    url: str


def _count_evidence(comparison: Comparison) -> list[EvidenceCount]:
    """Return how many rows have each evidence, by one statement."""
    counted = select_found(comparison).order_by().values_list("code").annotate(Count("pk"))
    numbers: dict[str, int] = {}
    for code, number in counted:
        name = code if code in EVIDENCE_LABELS else "unknown"
        numbers[name] = numbers.get(name, 0) + number
    page = reverse("admin:sync_comparison_match", args=[comparison.uuid])
    return [
        EvidenceCount(
            label, count_text(numbers[code], is_about=False), f"{page}?{urlencode({'evidence': code})}"
        )
        for code, label in _evidence_options()
        if code in numbers
    ]


def describe_desk(comparison: Comparison, rows: Sequence[Difference]) -> list[DeskRow]:
    """Return rows with what has become of them, by three statements."""
    ids = [row.entity_id for row in rows]
    links = Link.objects.filter(**pair_filter(comparison), entity_id__in=ids).exclude(record_id="")
    linked = dict(links.values_list("entity_id", "record_id"))
    choices = MatchChoice.objects.filter(**pair_filter(comparison), entity_id__in=ids)
    chosen = {choice.entity_id: choice for choice in choices.select_related("decided_by")}
    return [
        DeskRow(found, linked.get(found.row.entity_id, ""), chosen.get(found.row.entity_id))
        for found in describe_differences(comparison, rows)
    ]


def fetch_live(comparison: Comparison, rows: Sequence[DeskRow], *, is_masked: bool) -> list[DeskRow]:
    """Return the rows, the open ones with both sides as they are now. All of it takes DEADLINE_SECONDS at most, and
    sends reads only.
    """
    deadline = time.monotonic() + DEADLINE_SECONDS
    return [
        DeskRow(
            row.found,
            row.linked_id,
            row.choice,
            _fetch_match(comparison, row.row, deadline, is_masked=is_masked) if row.is_open else None,
        )
        for row in rows
    ]


def _fetch_match(comparison: Comparison, row: Difference, deadline: float, *, is_masked: bool) -> LiveMatch:
    recorders = [PreviewRecorder(one, deadline) for one in (comparison.identity, comparison.target)]
    try:
        resolved = get_resolved_route(comparison.route_id)
        planned = plan_subject(resolved, row.entity_id, reads=LiveReads(recorders, is_waited_for=True))
    except InvalidMapping:
        return LiveMatch(problem=problem_texts(comparison, "unmappable"))
    match = found_match(planned)
    if match.candidates:
        return LiveMatch(build_match_table(match, (), is_masked=is_masked))
    return LiveMatch(problem=problem_texts(comparison, planned.code) if planned.code else None)
