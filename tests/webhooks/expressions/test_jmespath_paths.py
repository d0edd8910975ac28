"""Expressions find what the JMESPath library finds, whichever way they are walked."""

from typing import Any

import jmespath
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jmespath.exceptions import JMESPathError

from webhooks.expressions.jmespath_paths import compile_expression

pytestmark = pytest.mark.pure

NAMES = st.sampled_from(["a", "b", "_c", "A1", "keys", "null"])
SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=2)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=20,
)
STEPS = NAMES.map(lambda name: f".{name}") | st.integers(-4, 4).map(lambda index: f"[{index}]")
PATHS = st.builds(lambda first, rest: first + "".join(rest), NAMES, st.lists(STEPS, max_size=4))
ANY_TEXT = st.text("ab_A1.[]0-9@* ?`'\"|", min_size=1, max_size=8)


def _same(text: str, document: Any) -> None:
    try:
        expected = jmespath.search(text, document)
    except JMESPathError as error:
        with pytest.raises(type(error)):
            compile_expression(text)(document)
        return
    value = compile_expression(text)(document)
    assert repr(value) == repr(expected)


@pytest.mark.slow
@given(PATHS, DOCUMENTS)
@settings(max_examples=300, deadline=None)
@example("a.b", {"a": {"b": False}})
@example("a[0].b", {"a": [{"b": 0}]})
@example("a[-1]", {"a": "text"})
@example("a[0]", {"a": {"0": 1}})
@example("a", [1])
def test_a_plain_path_finds_what_the_library_finds(path: str, document: Any) -> None:
    _same(path, document)


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
@given(ANY_TEXT, DOCUMENTS)
@settings(max_examples=200, deadline=None)
@example("@", {"a": 1})
@example("a[00]", {"a": [1]})
@example("a [0]", {"a": [1]})
@example("a.b\n", {"a": {"b": 1}})
@example("a[99999999]", {"a": [1]})
@example("a[-0]", {"a": [1, 2]})
@example("ä", {"ä": 1})
def test_any_text_is_taken_for_what_the_library_takes_it_for(text: str, document: Any) -> None:
    _same(text, document)
