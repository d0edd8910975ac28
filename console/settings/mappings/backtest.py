"""Back-tests: begin one, watch it, read what would come out differently and on which events."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils.translation import gettext as _

from console.base.post_only import post_only
from console.payloads.content import format_value
from console.permissions import CONTENTS, MAY_EDIT
from console.settings.mappings.backtest_words import OUTCOMES, summarize_backtest, untestable_text
from console.settings.mappings.mapping_trial import HIDDEN_VALUE
from console.settings.mappings.view_mixin import MappingViewMixin, request_author
from sync.mappings.backtests import (
    AT_ONCE,
    FEWEST,
    MOST,
    NotTestable,
    ask,
    mappings_of,
    routes_of,
    run_here,
)
from sync.mappings.drafts import draft_of
from sync.mappings.past_entities import kept_of
from sync.models import BackTest
from sync.planning.mapping_comparison import (
    ComparisonOutcome,
    FieldDifference,
    MappingResult,
    compare_mappings,
)
from webhooks.models import Event

MAX_EXAMPLES = 20


@dataclass(frozen=True, slots=True)
class ExampleField:
    """One field of an example, now and with the draft; `is_known`: whether each of them sends it."""

    name: str
    before: str
    after: str
    is_sent_before: bool
    is_sent_after: bool


@dataclass(frozen=True, slots=True)
class BacktestExample:
    """One event that comes out differently. `problem`: what fails, with the draft or without it; `missing`: why there
    are no values any more.
    """

    event: Event
    outcome: str
    label: str
    fields: tuple[ExampleField, ...] = ()
    problem: str = ""
    missing: str = ""


class BacktestMixin(MappingViewMixin):
    """Begin, and look."""

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/backtest/", wrap(self.begin_view), name="sync_mapping_backtest"),
            path(
                "<int:pk>/backtest/<uuid:key>/", wrap(self.result_view), name="sync_mapping_backtest_result"
            ),
            *super().get_urls(),
        ]

    @post_only(back_to="admin:sync_mapping_change", key="pk")
    def begin_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """POST: run the open draft over the newest events; up to 200 of them while the person waits."""
        mapping = self.get_mapping(request, pk, MAY_EDIT)
        draft, text = draft_of(mapping), request.POST.get("events", "")
        wanted = int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else 0
        try:
            if draft is None:
                raise NotTestable(_("There is no open draft of this mapping any more."))
            made = ask(draft, wanted, request_author(request))
        except NotTestable as error:
            messages.error(request, str(error))
            return redirect("admin:sync_mapping_change", pk)
        if wanted <= AT_ONCE:
            run_here(made)
        return redirect("admin:sync_mapping_backtest_result", pk, made.uuid)

    def result_view(self, request: HttpRequest, pk: int, key: UUID) -> HttpResponse:
        """How far it is, and what came of it."""
        mapping = self.get_mapping(request, pk)
        rows = BackTest.objects.select_related("draft__version", "draft__made_by", "base", "asked_by")
        row = get_object_or_404(rows, uuid=key, draft__mapping=pk)
        return self.render_mapping_page(
            request,
            "console/settings/mappings/backtest.html",
            mapping,
            title=_("Back-test of %(mapping)s") % {"mapping": mapping},
            shown=summarize_backtest(row),
            draft=row.draft,
            examples=load_examples(row, may_see=request.user.has_perm(CONTENTS)),
            is_open_draft=row.draft.state == "open",
            fewest=FEWEST,
            most=MOST,
        )


def load_examples(row: BackTest, *, may_see: bool) -> list[BacktestExample]:
    """Made anew from what is kept now: four statements. Values only for whoever may see them."""
    wanted = {each["event"]: each for each in row.examples[:MAX_EXAMPLES]}
    kept = kept_of(list(wanted), routes_of(row.draft.mapping_id)) if wanted else []
    current, draft = mappings_of(row)
    shown = []
    for each in kept:
        outcome = wanted[each.event.pk]["outcome"]
        facts: dict[str, Any] = {
            "event": each.event,
            "outcome": outcome,
            "label": str(OUTCOMES.get(outcome, outcome)),
        }
        if each.given is None:
            shown.append(BacktestExample(**facts, missing=untestable_text(str(each.reason))))
            continue
        compared = compare_mappings(current, draft, each.given)
        failing = compared.before if outcome == ComparisonOutcome.WORKS_NOW else compared.after
        problem = _problem_text(failing) if failing.fields is None else ""
        fields = tuple(_build_example_field(field, may_see=may_see) for field in compared.fields)
        shown.append(BacktestExample(**facts, fields=fields, problem=problem))
    return shown


def _problem_text(made: MappingResult) -> str:
    return f"{made.failing_field}: {_(made.problem)}."


def _build_example_field(field: FieldDifference, *, may_see: bool) -> ExampleField:
    is_open = may_see or field.name in ("match.external_id", "match.new")
    before, after = (
        format_value(value) if is_open or value is None else HIDDEN_VALUE
        for value in (field.before, field.after)
    )
    return ExampleField(field.name, before, after, field.is_sent_before, field.is_sent_after)
