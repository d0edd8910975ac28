"""Answers to sources keep to their size."""

import json

import pytest

from config_schema.codes.outcome import EventOutcome, FieldProblem, TargetResult
from tests.support.http.machine_answers import MAX_ANSWER_BYTES
from tests.support.rows import each_row
from webhooks.models import State
from webhooks.receiving.answers import outcome_answer

pytestmark = pytest.mark.pure


@each_row([1, 20])
def test_an_answer_contains_as_many_errors_as_fit(many: int) -> None:
    errors = tuple(FieldProblem(f"{number}{'f' * 290}", "c" * 300, "ä" * 300) for number in range(many))
    result = TargetResult("shop", "The shop", "dead", "target-rejected", "", "", False, "No.", errors)
    outcome = EventOutcome("dead", "target-rejected", (result,), None)
    answer = outcome_answer(outcome, "en", reference="r", location_of=str, is_signed=True)
    document = json.loads(answer.body)
    fields = [error["field"] for error in document["errors"]]
    assert len(answer.body) <= MAX_ANSWER_BYTES
    assert fields == [error.field for error in errors[: len(fields)]]
    assert len(fields) == min(many, 5)
    assert document["code"] == "target-rejected"


@each_row(State)
def test_an_outcome_is_open_failed_or_done_in_every_state(state: State) -> None:
    outcome = EventOutcome(state, state, (), None)
    done = {"superseded", "ignored", "unchanged", "succeeded"}
    assert (state in done) + outcome.is_open + outcome.has_failed == 1
