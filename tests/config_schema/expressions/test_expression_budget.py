"""No expression costs more than its budget, and an ordinary one does not notice it (I25)."""

import json
from contextlib import suppress
from typing import Any

import jmespath
import pytest
from jmespath.exceptions import JMESPathError

from config_schema.expressions import expression_budget, jmespath_paths
from config_schema.expressions.expression_budget import (
    MAX_BYTES,
    MAX_STEPS,
    ExpressionBudget,
    OverBudget,
)
from config_schema.expressions.jmespath_paths import ExpressionTooLarge, compile_expression
from connectors.values.json_responses import parse_json
from tests.support.hostile.expressions import (
    ENTITY,
    HOSTILE,
    MISFITS,
    MULTIPLYING,
    REFUSED,
    bounded_cost,
    piped,
)
from tests.support.rows import each_row

pytestmark = [pytest.mark.pure, pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")]

DOCUMENT = {"entity": ENTITY, "webhook": {}}
ORDINARY = [
    "entity.objects[:3].{id: id, first: names[0].value}",
    "entity.objects[?id == `7`].names[].value | [0]",
    "entity.numbers[-3:]",
    "entity.nick || entity.objects[0].names[0].value",
    "join(', ', entity.texts[:2])",
    "sort_by(entity.objects[:9], &to_string(id))[-1].id",
    "max(entity.numbers[:5])",
    "to_string(entity.objects[1])",
    "entity.objects[0:2].names | [] | [?value != 'n1'].value",
    "keys(entity)",
    "!(entity.nick) && contains(entity.numbers, `5`)",
    "length(entity.long)",
    "entity.objects[0] == entity.objects[0]",
    "entity.objects[0] == entity.objects[1]",
    "entity.numbers[2] >= `2`",
]


@pytest.mark.nightly
@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_expression_ends_within_its_budget(text: str) -> None:
    with bounded_cost():
        try:
            made = compile_expression(text)(DOCUMENT)
        except (OverBudget, JMESPathError):
            return
        json.dumps(made)


@pytest.mark.promise("I25")
@each_row(MULTIPLYING)
def test_an_expression_that_multiplies_is_stopped_or_refused(text: str) -> None:
    with pytest.raises((OverBudget, ExpressionTooLarge)):
        compile_expression(text)(DOCUMENT)


REPLACED = "replace(@,'1','" + "1" * 40 + "')"


# By the cost that must be counted: an expression and its document, small enough that the hub without that count ends, too.
@pytest.mark.promise("I25")
@each_row(
    [
        ("visits", piped("[@,@][]", 18) + "|[0]", 1),
        ("results", piped("[@,@]", 17), 1),
        ("copies", piped("reverse(@)", 40) + "|[0]", ENTITY["numbers"]),
        ("comparisons", f"[{piped('[@,@]', 14)},{piped('[@,@]', 14)}]|[0]==[1]", 1),
        ("zipped lists", "[" + ",".join(["length(zip(c,c))"] * 6) + "]", {"c": [1] * 2_000}),
        ("compared lists", "[" + ",".join(["length(difference(c,c))"] * 6) + "]", {"c": [1] * 2_000}),
        ("items", "[" + ",".join(["length(items(@))"] * 6) + "]", dict.fromkeys(map(str, range(2_000)))),
        ("replaced texts", f"to_string(@)|{piped(REPLACED, 4)}|length(@)", 1),
        ("texts", piped("join('',[@,@,@,@])", 6) + "|[0]", ENTITY["texts"][0]),
    ]
)
def test_each_cost_is_counted(cost: str, text: str, document: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(expression_budget, "MAX_SECONDS", 60.0)  # it is about what is counted
        with pytest.raises(OverBudget):
            compile_expression(text)(document)


@each_row(REFUSED)
def test_an_expression_that_is_too_deep_or_not_storable_is_refused(text: str) -> None:
    with pytest.raises(JMESPathError):
        compile_expression(text)


def test_an_expression_has_at_most_a_thousand_characters() -> None:
    assert compile_expression("a" * 1_000)({}) is None
    with pytest.raises(ExpressionTooLarge, match=r"1,000 characters"):
        compile_expression("a" * 1_001)


def test_an_expression_has_at_most_two_thousand_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jmespath_paths, "MAX_LENGTH", 10_000)
    assert len(compile_expression("[" + ",".join(["a"] * 1_999) + "]")({})) == 1_999
    with pytest.raises(ExpressionTooLarge, match=r"2,000 nodes"):
        compile_expression("[" + ",".join(["a"] * 2_000) + "]")


@each_row(MISFITS)
def test_a_wrong_type_gives_null_or_an_error_of_the_library(text: str) -> None:
    with suppress(JMESPathError):
        assert compile_expression(text)(DOCUMENT) in (None, True, ENTITY["numbers"])


@each_row(ORDINARY)
def test_an_ordinary_expression_finds_what_the_library_finds(text: str) -> None:
    assert repr(compile_expression(text)(DOCUMENT)) == repr(jmespath.search(text, DOCUMENT))


def test_ten_thousand_steps_are_allowed_and_not_one_more() -> None:
    # One visit each for the projection, its list, and each item.
    items = [{"a": 1}] * (MAX_STEPS - 2)
    assert len(compile_expression("[*].a")(items)) == len(items)
    with pytest.raises(OverBudget):
        compile_expression("[*].a")([*items, {"a": 1}])


def test_a_result_of_256_kib_is_allowed_and_not_one_byte_more() -> None:
    text = "x" * (MAX_BYTES - 2)
    assert compile_expression("join('', [@])")(text) == text
    with pytest.raises(OverBudget):
        compile_expression("join('', [@])")(text + "x")


def test_selected_values_may_be_as_large_as_the_document() -> None:
    large = {"a": ["x" * MAX_BYTES] * 20}
    for text in ("a[*]", "a || b", "a[?@ != 'b']", "*[]", "@ | a[1:]", "[@]", "a[].[@]", "b || [a]"):
        assert compile_expression(text)(large)
    for text in ("[a, a]", "[a[0], a[1]]", "{a: a}"):
        with pytest.raises(OverBudget):
            compile_expression(text)(large)


@each_row(["9" * 4_000, "0." + "1" * 4_000])
def test_a_number_is_as_large_as_its_digits(digits: str) -> None:
    with pytest.raises(OverBudget):
        compile_expression(piped("[@,@]", 10))(parse_json(digits.encode()))


def test_the_time_limit_stops_expressions_of_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1_000))
    monkeypatch.setattr(expression_budget, "time", type("Clock", (), {"thread_time": lambda: next(clock)}))
    with pytest.raises(OverBudget):
        compile_expression("[*].a")([{"a": 1}] * 1_000)


def test_expressions_share_a_budget() -> None:
    find, budget = compile_expression("[*].a"), ExpressionBudget(max_steps=250)
    find([{"a": 1}] * 200, budget)
    with pytest.raises(OverBudget):
        find([{"a": 1}] * 200, budget)


def test_linked_counts_the_ids_that_it_is_given() -> None:
    text = "[" + ",".join(["length(linked('USER', entity.numbers))"] * 3) + "]"
    find = compile_expression(text, frozenset({"linked"}))
    asked: list[str] = []

    def find_linked(entity_type: str, ids: Any) -> Any:
        asked.append(entity_type)
        return ids

    with pytest.raises(OverBudget):
        find(DOCUMENT, ExpressionBudget(find_linked=find_linked))
    # Stopped before the third search.
    assert asked == ["USER"] * len(asked)
    assert len(asked) < 3


def test_linked_is_an_error_outside_mappings() -> None:
    with pytest.raises(JMESPathError, match="fields of a mapping"):
        compile_expression("linked('USER', id)", frozenset({"linked"}))({"id": "1"})
