"""Expressions find what the JMESPath library finds, whichever way they are walked."""

from typing import Any

import jmespath
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jmespath.exceptions import JMESPathError

from config_schema.errors import SettingsInvalid
from config_schema.expressions.expression_budget import ExpressionBudget
from config_schema.expressions.jmespath_paths import (
    NegatedPath,
    compile_expression,
    fields_built,
    is_plain_expression,
)
from tests.support.rows import each_row
from webhooks.protocol.formats.webhook_format import WebhookFormat

pytestmark = pytest.mark.pure

NAMES = st.sampled_from(["a", "b", "_c", "A1", "keys", "null"])
SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=2)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=20,
)
ANY_TEXT = st.text("ab_A1.[]0-9@* ?`'\"|", min_size=1, max_size=8)


def _assert_same_as_library(text: str, document: Any) -> None:
    try:
        expected = jmespath.search(text, document)
    except JMESPathError as error:
        with pytest.raises(type(error)):
            compile_expression(text)(document)
        return
    value = compile_expression(text)(document)
    assert repr(value) == repr(expected)


@pytest.mark.submission
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
@given(ANY_TEXT, DOCUMENTS)
@settings(max_examples=60)
@example("@", {"a": 1})
@example("a[00]", {"a": [1]})
@example("a [0]", {"a": [1]})
@example("a.b\n", {"a": {"b": 1}})
@example("a[99999999]", {"a": [1]})
@example("a[-0]", {"a": [1, 2]})
@example("ä", {"ä": 1})
def test_any_text_is_read_as_the_library_reads_it(text: str, document: Any) -> None:
    _assert_same_as_library(text, document)


@each_row(
    [
        ("!event.test", "reads !event.test as (!event).test. Write !(event.test)."),
        ("event.ok && !event.user.isBot", "Write !(event.user.isBot)."),
        ("users[?!active.now]", "Write !(active.now)."),
        ("{a: !b.c}", "Write !(b.c)."),
        ("length(a) > `1` || !a.b == 'x'", "Write !(a.b)."),
        ("(!a).b", "Write !(a.b)."),
        ("!contains(a, 'x').y", "Write !(a.b)."),
        ("!a[0].b", "Write !(a.b)."),
        ("!a[]", "Write !(a.b)."),
        ("!a[?b]", "Write !(a.b)."),
        ("!a.*", "Write !(a.b)."),
    ]
)
def test_a_field_of_a_negation_is_refused_with_advice(text: str, advice: str) -> None:
    with pytest.raises(NegatedPath) as refused:
        compile_expression(text)
    assert str(refused.value).endswith(advice)


@each_row(
    [
        (text, document)
        for text in ("@", "a", "a.b_1", "a[0]", "a[-1].b")
        for document in (None, "a", [], {"a": 1}, {"a": []}, {"a": [{"b": None}]})
    ]
)
def test_a_plain_expression_fits_every_document_and_needs_no_budget(text: str, document: Any) -> None:
    assert is_plain_expression(text)
    found = compile_expression(text)(document, ExpressionBudget(max_steps=0, max_bytes=0))
    assert found == jmespath.search(text, document)


@each_row(["a[*]", "a[]", "a || b", "a | b", "[@,@]", "[0]", "a[?b]", "a[0:1]", "*", "a.b\n"])
def test_an_expression_that_has_a_cost_is_not_plain(text: str) -> None:
    assert not is_plain_expression(text)


@each_row(["!(a.b)", "!a[0]", "!a[*].b", "!a && b.c", "!a == b", "!a | @", "a[?!(b.c)]", "!length(a)"])
def test_a_negation_that_is_not_read_from_is_allowed(text: str) -> None:
    document = {"a": [{"b": 1}], "b": {"c": 2}}
    assert compile_expression(text)(document) == jmespath.search(text, document)


def test_a_webhook_format_with_a_negated_path_is_refused_at_its_entry() -> None:
    with pytest.raises(SettingsInvalid) as refused:
        WebhookFormat.kind.read({"when": "!event.test", "id": "event.id"}, ())
    assert "/when" in str(refused.value)
    assert "Write !(event.test)." in str(refused.value)


@each_row(
    [
        ("{id: id, name: name}", {"id", "name"}),
        ("a.b.{id: id}", {"id"}),
        ("a.b.c.d.{id: id}", {"id"}),
        ("a.{x: b}.{id: x}", {"id"}),
        ("a.items[].item.{id: id}", {"id"}),
        ("a.b[?c].d.{id: id}", {"id"}),
        ("a.*.{id: id}", {"id"}),
        ("a.b.merge({id: id}, {name: name})", {"id", "name"}),
        ("a && {id: id} || `null`", {"id"}),
        ("map(&(!gone && {id: id} || `null`), a.b)", {"id"}),
        ("a.{x: b}.x", None),
        ("a.{x: b} | a.b.c", None),
        ("a.b.{id: id}.c", None),
        ("a.b.merge(c, {id: id})", None),
        ("a && {id: id} || b.c", None),
        ("map(&c, a.b)", None),
        ("`{\"x\": 1}`", None),
    ]
)  # fmt: skip
def test_the_fields_that_an_expression_builds_are_those_of_its_last_step(
    text: str, names: set[str] | None
) -> None:
    """What a target reads back is known by this: a field that is wrongly said to be there is never written again."""
    assert fields_built(text) == names
