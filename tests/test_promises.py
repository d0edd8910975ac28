"""Each promise has a test in the gate."""

import pytest

from tests.promises import format_table, promise_tests, promises

pytestmark = pytest.mark.pure


def test_each_promise_is_held_by_a_test_of_the_gate_or_says_why_not() -> None:
    marked, table = promise_tests(), promises()
    print(format_table(marked))
    held = {test.promise for test in marked if test.in_gate}
    assert {test.promise for test in marked} <= set(table), "an unknown promise is marked"
    assert [name for name, row in table.items() if name not in held and "reason" not in row] == []
    assert [name for name, row in table.items() if name in held and "reason" in row] == []
