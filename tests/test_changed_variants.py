"""Broken variants name lines and tests that exist. Which of them `.ci/run` tries for a change: those of which the row, the
function or a test changed.
"""

import datetime

import pytest

from tests.mutants.changes import changed_part, stale_reasons
from tests.mutants.mutation import Mutation, share_of_day, variants

pytestmark = pytest.mark.pure

MODULE = """LIMIT = 5


class Guard:
    def count(self) -> int:
        return 1

    def check(self) -> bool:
        return self.count() < LIMIT
"""
TESTS = """@pytest.mark.django_db
def test_a() -> None:
    assert a()


def test_b() -> None:
    assert b()
"""
VARIANT = Mutation("no limit", "m.py", "self.count() < LIMIT", "True", tests=("tests/test_m.py::test_b[x]",))


@pytest.mark.parametrize(
    ("path", "before", "old", "new", "is_concerned"),
    [
        ("m.py", MODULE, "return 1", "return 2", False),
        ("m.py", MODULE, "LIMIT = 5", "LIMIT = 6\nMORE = 7", False),
        ("m.py", MODULE, "        return self", "        # Bounded.\n        return self", True),
        ("tests/test_m.py", TESTS, "assert a()", "assert c()", False),
        ("tests/test_m.py", TESTS, "assert b()", "assert c()", True),
        ("tests/test_m.py", TESTS, "def test_b", "@pytest.mark.skip\ndef test_b", True),
        ("tests/test_m.py", TESTS, "test_b", "test_c", True),
    ],
)
def test_a_variant_is_tried_if_its_function_or_test_changed(
    path: str, before: str, old: str, new: str, is_concerned: bool
) -> None:
    assert changed_part(VARIANT, path, before, before.replace(old, new)) == is_concerned


def test_each_variant_is_tried_in_any_seven_days() -> None:
    week = [datetime.date(2026, 12, day) for day in range(3, 10)]
    shares = [share_of_day(variants(), day) for day in week]
    assert sorted(one.name for share in shares for one in share) == sorted(one.name for one in variants())
    assert max(map(len, shares)) < 2 * min(map(len, shares))


def test_variants_name_lines_and_tests_that_exist() -> None:
    assert [reason for variant in variants() for reason in stale_reasons(variant)] == []
