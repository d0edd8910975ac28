"""The sum over stubs follows every addition, replacement and removal, in any order."""

from hashlib import shake_256

import pytest

from audit.format.stub_sum import StubSum

pytestmark = pytest.mark.pure

FIRST = ("event:1", 3, b"\x01" * 32, 5)
SECOND = ("event:2", 1, b"\x02" * 32, 5)
REPLACED = ("event:1", 4, b"\x03" * 32, 6)
WITHOUT_SUM = [
    {},
    {"streams": 1},
    {"streams": True, "sum": "0" * 512},
    {"streams": 1, "sum": 7},
    {"streams": 1, "sum": "0" * 511},
    {"streams": 1, "sum": "g" * 512},
]


def test_the_sum_is_that_of_the_format() -> None:
    content = b"hub-stub-1\x005\x003\x00event:1\x00" + FIRST[2]
    expected = shake_256(content).hexdigest(256)
    assert StubSum().with_stubs([FIRST]).to_details() == {"streams": 1, "sum": expected}


def test_a_sum_does_not_depend_on_the_order_and_follows_replacements() -> None:
    both = StubSum().with_stubs([FIRST, SECOND])
    assert both == StubSum().with_stubs([SECOND]).with_stubs([FIRST])
    assert both.with_stubs([REPLACED], [FIRST]) == StubSum().with_stubs([REPLACED, SECOND])
    assert both.with_stubs([], [FIRST, SECOND]) == StubSum()
    assert StubSum.from_details(both.to_details()) == both


@pytest.mark.parametrize(
    "changed",
    [
        ("event:2", *FIRST[1:]),
        ("event:1", 4, *FIRST[2:]),
        ("event:1", 3, b"\x02" * 32, 5),
        (*FIRST[:3], 6),
    ],
)
def test_each_column_changes_the_sum(changed: tuple[str, int, bytes, int]) -> None:
    assert StubSum().with_stubs([changed]) != StubSum().with_stubs([FIRST])


@pytest.mark.parametrize("details", WITHOUT_SUM)
def test_details_without_a_sum_are_refused(details: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        StubSum.from_details(details)
