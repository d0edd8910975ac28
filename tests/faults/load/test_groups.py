"""The names in `GROUPS` are those of tests: one that was renamed would be distributed singly, and fail nothing."""

from pathlib import Path

import pytest

from tests.faults.load.groups import GROUPS, group_of

pytestmark = pytest.mark.pure

TESTS = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", GROUPS)
def test_every_name_is_that_of_a_fault_test(name: str) -> None:
    file, _, function = name.partition("::")
    text = (TESTS / file).read_text("utf-8")
    assert "mark.faults" in text
    assert not function or f"\ndef {function}(" in text


def test_all_parameters_of_a_test_are_in_its_group() -> None:
    for name, group in GROUPS.items():
        assert group_of(f"tests/{name}") == group_of(f"tests/{name}[a[1]-b::c]") == group
    assert group_of("tests/web_server/test_slow_clients.py::test_any") == "load"
    assert group_of("tests/faults/test_other.py::test_other[a]") is None
