"""Pages of back-tests: start one, follow it, and see which events would come out differently."""

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
    MAX_EVENTS,
    MAX_IN_REQUEST,
    MIN_EVENTS,
    BackTestRefused,
    parse_both_mappings,
    request_backtest,
    routes_using_mapping,
    run_in_request,
)
from sync.mappings.drafts import open_draft
from sync.mappings.past_entities import read_past_events
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
    """One field of an example. `is_sent_before` and `is_sent_after`: the active version or the draft sends it."""

    name: str
    before: str
    after: str
    is_sent_before: bool
    is_sent_after: bool


@dataclass(frozen=True, slots=True)
class BacktestExample:
    """One event that comes out differently. `problem`: the failure of the version that fails; `missing`: why there
    are no values.
    """

    event: Event
    outcome: str
    label: str
    fields: tuple[ExampleField, ...] = ()
    problem: str = ""
    missing: str = ""


class BacktestMixin(MappingViewMixin):
    """Mixin with the pages of back-tests."""

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
        """Test the open draft on the newest events. POST only.

        Up to `MAX_IN_REQUEST` events run in this request, more in a worker.
        """
        mapping = self.get_mapping(request, pk, MAY_EDIT)
        draft, text = open_draft(mapping), request.POST.get("events", "")
        # Nine digits or more would only be refused later, as more than the maximum.
        wanted = int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else 0
        try:
            if draft is None:
                raise BackTestRefused(_("This mapping no longer has a draft."))
            made = request_backtest(draft, wanted, request_author(request))
        except BackTestRefused as error:
            messages.error(request, str(error))
            return redirect("admin:sync_mapping_change", pk)
        if wanted <= MAX_IN_REQUEST:
            run_in_request(made)
        return redirect("admin:sync_mapping_backtest_result", pk, made.uuid)

    def result_view(self, request: HttpRequest, pk: int, key: UUID) -> HttpResponse:
        """Show progress and result of a back-test."""
        mapping = self.get_mapping(request, pk)
        rows = BackTest.objects.select_related("draft__version", "draft__made_by", "base", "asked_by")
        row = get_object_or_404(rows, uuid=key, draft__mapping=pk)
        return self.render_mapping_page(
            request,
            "console/settings/mappings/backtest.html",
            mapping,
            title=_("Back-test of %(mapping)s") % {"mapping": mapping},
            summary=summarize_backtest(row),
            draft=row.draft,
            examples=load_examples(row, may_see=request.user.has_perm(CONTENTS)),
            is_open_draft=row.draft.state == "open",
            fewest=MIN_EVENTS,
            most=MAX_EVENTS,
        )


def load_examples(row: BackTest, *, may_see: bool) -> list[BacktestExample]:
    """Compare the examples of a back-test again, from what is still stored. Four queries. Without `may_see`, values are
    hidden.
    """
    results_by_event = {example["event"]: example for example in row.examples[:MAX_EXAMPLES]}
    kept = (
        read_past_events(list(results_by_event), routes_using_mapping(row.draft.mapping_id))
        if results_by_event
        else []
    )
    current, draft = parse_both_mappings(row)
    examples = []
    for example in kept:
        outcome = results_by_event[example.event.pk]["outcome"]
        facts: dict[str, Any] = {
            "event": example.event,
            "outcome": outcome,
            "label": str(OUTCOMES.get(outcome, outcome)),
        }
        if example.mapping_input is None:
            examples.append(BacktestExample(**facts, missing=untestable_text(str(example.reason))))
            continue
        compared = compare_mappings(current, draft, example.mapping_input)
        # The example shows the failure of the version that fails.
        failing = compared.before if outcome == ComparisonOutcome.WORKS_NOW else compared.after
        problem = _problem_text(failing) if failing.fields is None else ""
        fields = tuple(_build_example_field(field, may_see=may_see) for field in compared.fields)
        examples.append(BacktestExample(**facts, fields=fields, problem=problem))
    return examples


def _problem_text(made: MappingResult) -> str:
    return f"{made.failing_field}: {_(made.problem)}."


def _build_example_field(field: FieldDifference, *, may_see: bool) -> ExampleField:
    # These two hold names of record fields, which are no personal data.
    is_open = may_see or field.name in ("match.external_id", "match.new")
    before, after = (
        format_value(value) if is_open or value is None else HIDDEN_VALUE
        for value in (field.before, field.after)
    )
    return ExampleField(field.name, before, after, field.is_sent_before, field.is_sent_after)
