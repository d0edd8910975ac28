"""The page that shows what a pair will be, tests it, shows a sample person, and creates it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from config_schema.codes.codes import CodeTexts
from connectors.check import MAX_SECONDS, CheckStep
from connectors.settings.authentication import credential_names
from console.base.audit_trail import acting_person, record_action
from console.base.forms import ReasonField, ReasonForm
from console.pairs.access import for_own_draft, render
from console.pairs.choices import needs_details, next_part
from console.pairs.created import render_created
from console.pairs.creation import CreationRefused, create_pair
from console.pairs.views import list_steps
from console.payloads.content import ChangeTable, planned_change_table
from console.payloads.masking import mask_text
from console.permissions import CONTENTS
from console.settings.connections.connection_test import load_last_test, run_connection_test
from console.settings.connections.connection_test_words import StepRow, build_step_row
from console.settings.mappings.words import describe_rules
from console.ui.outcome_texts import describe_code
from logins.fresh_login import require_fresh_login
from sync.models import Connection, PairDraft
from sync.operations.connection_tests import AlreadyTesting, run_steps_of_unsaved, step_documents
from sync.pairs.drafts import begin_test, store_tests
from sync.pairs.planned_pair import CONNECTION_PARTS, IDENTITY, PlannedPair, plan_pair
from sync.pairs.sample_person import SamplePerson, read_sample
from webhooks.made_events import MAX_ENTITY_ID


class SampleForm(forms.Form):
    """Whose data the test shows."""

    id = forms.CharField(
        label=gettext_lazy("Id of the person"),
        required=False,
        max_length=MAX_ENTITY_ID,
        help_text=gettext_lazy("As the identity service has it. Empty: the first one that it lists."),
    )


class RevealForm(forms.Form):
    """Why the values of the sample are shown."""

    why = ReasonField(
        min_length=3,
        max_length=200,
        label=gettext_lazy("Reason (recorded in the audit log)"),
        help_text=gettext_lazy("Don't include personal data."),
    )


@dataclass(frozen=True, slots=True)
class TestedConnection:
    """The last test of one end. `steps` is empty before the first. `is_good`: no step failed."""

    connection: Connection
    steps: Sequence[StepRow]
    is_good: bool


@dataclass(frozen=True, slots=True)
class ShownSample:
    """A sample person as the page shows it. `entity`: as JSON. `problem`: why there is no change."""

    person: SamplePerson
    entity: str
    change: ChangeTable | None
    problem: CodeTexts | None
    is_masked: bool


@for_own_draft
def review_view(request: HttpRequest, draft: PairDraft) -> HttpResponse:
    """Show what will be created. A POST tests the connections and shows a sample person, or creates the pair."""
    if draft.route_id is not None:
        return redirect("admin:pair_created", draft.uuid)
    planned = None if next_part(draft) or needs_details(draft) else plan_pair(draft)
    if planned is None:
        return redirect("admin:pair", draft.uuid)
    reason = ReasonForm(request.POST if "create" in request.POST else None)
    if request.method == "POST" and reason.is_bound and reason.is_valid():
        require_fresh_login(request)
        try:
            made = create_pair(request, draft, reason.cleaned_data["reason"])
        except CreationRefused as refusal:
            reason.add_error(None, str(refusal))
        else:
            return render_created(request, draft, made.route, secret=made.secret)
    asks_sample = "test" in request.POST or "reveal" in request.POST
    sample_form = SampleForm(request.POST if asks_sample else None)
    reveal_form = RevealForm(request.POST if "reveal" in request.POST else None)
    sample = None
    if asks_sample and sample_form.is_valid():
        shows_values = reveal_form.is_bound and _record_reveal(request, draft, reveal_form)
        if "test" in request.POST:
            _run_tests(request, draft, planned)
        sample = _read_sample(planned, sample_form.cleaned_data["id"], is_masked=not shows_values)
    response = render(
        request,
        "review",
        _("Test and create"),
        draft=draft,
        planned=planned,
        steps=list_steps(draft, "review"),
        tested=[_load_test(draft, part, planned) for part in CONNECTION_PARTS],
        rules=describe_rules(planned.declaration),
        sample=sample,
        sample_form=sample_form,
        reveal_form=reveal_form if request.user.has_perm(CONTENTS) else None,
        reason_form=reason,
    )
    add_never_cache_headers(response)
    return response


def _record_reveal(request: HttpRequest, draft: PairDraft, form: RevealForm) -> bool:
    """Append the entry of a reveal, before anything is shown. Returns False without the right or a reason."""
    if not (request.user.has_perm(CONTENTS) and form.is_valid()):
        return False
    require_fresh_login(request)
    with transaction.atomic():
        record_action(request, draft.stream, "pair.revealed", {"reason": form.cleaned_data["why"]})
    return True


def _run_tests(request: HttpRequest, draft: PairDraft, planned: PlannedPair) -> None:
    """Test both ends: one that exists as its own page does, one that does not with what was entered."""
    if not begin_test(draft, len(CONNECTION_PARTS) * MAX_SECONDS + 10):
        messages.warning(request, _("A test of this pair is already running. Try again in a minute."))
        return
    tested: dict[str, Any] = {}
    for part in CONNECTION_PARTS:
        connection: Connection = getattr(planned, part)
        if connection._state.adding:
            steps = run_steps_of_unsaved(connection, frozenset({planned.entity_type}))
            tested[part] = {"at": timezone.now().isoformat(), "steps": step_documents(steps)}
            continue
        try:
            run_connection_test(request, connection)
        except AlreadyTesting:
            text = _("A test of %(connection)s is already running. Try again in a minute.")
            messages.warning(request, text % {"connection": connection})
    store_tests(draft, tested, draft.parts, acting_person(request))


def _load_test(draft: PairDraft, part: str, planned: PlannedPair) -> TestedConnection:
    connection: Connection = getattr(planned, part)
    now = timezone.now()
    if not connection._state.adding:
        last = load_last_test(connection, now)
        return TestedConnection(connection, last.steps if last else (), last.is_good if last else False)
    credentials = credential_names(connection.authentication)
    steps = [CheckStep(**step) for step in draft.tests.get(part, {}).get("steps", ())]
    rows = tuple(build_step_row(step, connection.name, now, credentials) for step in steps)
    return TestedConnection(connection, rows, not any(step.is_good is False for step in steps))


def _read_sample(planned: PlannedPair, entity_id: str, *, is_masked: bool) -> ShownSample:
    person = read_sample(planned, entity_id)
    entity = json.dumps(person.attributes, indent=2, ensure_ascii=False, default=str)
    return ShownSample(
        person,
        (mask_text(entity) if is_masked else entity) if person.attributes else "",
        planned_change_table(person.change, is_masked=is_masked) if person.change is not None else None,
        _problem(planned, person) if person.code else None,
        is_masked,
    )


def _problem(planned: PlannedPair, person: SamplePerson) -> CodeTexts:
    """Return why there is no sample, in the words of the catalogue or of this page."""
    connection = planned.identity if person.side == IDENTITY else planned.target
    texts = {
        "no-entity": (_("No person was found"), _("The list is empty, or has no one with this id.")),
        "mapping-failed": (_("This person can't be mapped"), person.detail),
        "preview-late": (_("The systems took too long to respond"), _("Try again later.")),
        "preview-paused": (
            _("The connection is failing"),
            _("It failed repeatedly, so the hub does not call it."),
        ),
    }
    if person.code in texts:
        title, detail = texts[person.code]
        return CodeTexts(title, detail, "")
    return describe_code(person.code, connection.name)
