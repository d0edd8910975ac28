"""Pages of back-tests: start one, follow it, and see which events would come out differently."""

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

from console.base.admin_pages import AdminWithPages, admin_page
from console.base.audit_trail import acting_person
from console.base.forms import ReasonField, ReasonForm
from console.payloads.content import format_value
from console.payloads.reveal import reveal_events, revealed_events
from console.permissions import CONTENTS, MAY_EDIT
from console.settings.mappings.backtest_words import OUTCOMES, summarize_backtest
from console.settings.mappings.mapping_pages import get_mapping, render_mapping_page
from console.settings.untestable_texts import untestable_text
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
from sync.mappings.past_entities import PastEvent, read_past_events
from sync.models import BackTest
from sync.planning.mapping import ParsedMapping
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
    """One event that comes out differently. `names`: the fields that differ. Of a revealed event also `fields`, and
    `problem`, the failure of the version that fails; `missing`: why there are no values.
    """

    event: Event
    outcome: str
    label: str
    names: tuple[str, ...]
    is_masked: bool = True
    fields: tuple[ExampleField, ...] = ()
    problem: str = ""
    missing: str = ""


@admin_page("<int:pk>/backtest/", "backtest", button_on="change")
def begin_view(mapping_admin: AdminWithPages, request: HttpRequest, pk: int) -> HttpResponse:
    """Test the open draft on the newest events, for a reason. POST only.

    Its result has field names and counts; which events come out differently tells what they contain, so that is shown
    only to who may see contents. Up to `MAX_IN_REQUEST` events run in this request, more in a worker.
    """
    mapping = get_mapping(mapping_admin, request, pk, MAY_EDIT)
    draft, text = open_draft(mapping), request.POST.get("events", "")
    # Nine digits or more would only be refused later, as more than the maximum.
    wanted = int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else 0
    form = ReasonForm(request.POST, field=ReasonField(min_length=3, max_length=200))
    try:
        if draft is None:
            raise BackTestRefused(_("This mapping no longer has a draft."))
        if not form.is_valid():
            raise BackTestRefused(_("Nothing was tested: enter a reason of 3 to 200 characters."))
        made = request_backtest(draft, wanted, acting_person(request), form.cleaned_data["reason"])
    except BackTestRefused as error:
        messages.error(request, str(error))
        return redirect("admin:sync_mapping_change", pk)
    if wanted <= MAX_IN_REQUEST:
        run_in_request(made)
    return redirect("admin:sync_mapping_backtest_result", pk, made.uuid)


@admin_page("<int:pk>/backtest/<uuid:key>/", "backtest_result")
def result_view(mapping_admin: AdminWithPages, request: HttpRequest, pk: int, key: UUID) -> HttpResponse:
    """Show progress and result of a back-test, with examples to who may see contents; on POST, reveal their contents
    for a minute.
    """
    mapping = get_mapping(mapping_admin, request, pk)
    rows = BackTest.objects.select_related("draft__version", "draft__made_by", "base", "requested_by")
    row = get_object_or_404(rows, uuid=key, draft__mapping=pk)
    if request.method == "POST":
        reveal_events(request, list(Event.objects.filter(pk__in=_example_keys(row))))
        return redirect("admin:sync_mapping_backtest_result", pk, key)
    may_see = request.user.has_perm(CONTENTS)
    examples = load_examples(row, revealed_events(request)) if may_see else []
    return render_mapping_page(
        mapping_admin,
        request,
        "console/settings/mappings/backtest.html",
        mapping,
        title=_("Back-test of %(mapping)s") % {"mapping": mapping},
        summary=summarize_backtest(row),
        draft=row.draft,
        examples=examples,
        hides_examples=bool(row.examples) and not may_see,
        is_masked=any(example.is_masked for example in examples),
        is_open_draft=row.draft.state == "open",
        fewest=MIN_EVENTS,
        most=MAX_EVENTS,
    )


def load_examples(row: BackTest, revealed: frozenset[int]) -> list[BacktestExample]:
    """Return the examples of a back-test. Those of `revealed` events are compared again, from what is still stored.

    Four queries.
    """
    stored = {example["event"]: example for example in row.examples[:MAX_EXAMPLES]}
    past_events = read_past_events(list(stored), routes_using_mapping(row.draft.mapping_id)) if stored else []
    versions = parse_both_mappings(row)
    return [
        _build_example(stored[past_event.event.pk], past_event, versions, revealed)
        for past_event in past_events
    ]


def _example_keys(row: BackTest) -> list[int]:
    return [example["event"] for example in row.examples[:MAX_EXAMPLES]]


def _build_example(
    stored: dict[str, Any],
    past_event: PastEvent,
    versions: tuple[ParsedMapping | None, ParsedMapping],
    revealed: frozenset[int],
) -> BacktestExample:
    event, outcome = past_event.event, stored["outcome"]
    masked = BacktestExample(event, outcome, str(OUTCOMES.get(outcome, outcome)), tuple(stored["fields"]))
    if event.pk not in revealed:
        return masked
    if past_event.mapping_input is None:
        return replace(masked, is_masked=False, missing=untestable_text(str(past_event.reason)))
    compared = compare_mappings(*versions, past_event.mapping_input)
    # The example shows the failure of the version that fails.
    failing = compared.before if outcome == ComparisonOutcome.WORKS_NOW else compared.after
    return replace(
        masked,
        is_masked=False,
        fields=tuple(_build_example_field(field) for field in compared.fields),
        problem=_problem_text(failing) if failing.fields is None else "",
    )


def _problem_text(made: MappingResult) -> str:
    return f"{made.failing_field}: {_(made.problem)}."


def _build_example_field(field: FieldDifference) -> ExampleField:
    before, after = format_value(field.before), format_value(field.after)
    return ExampleField(field.name, before, after, field.is_sent_before, field.is_sent_after)
