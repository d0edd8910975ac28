"""The table of a run shows each pair of peers and each case with its worst outcome."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.peers.outcome_table import make_table

pytestmark = pytest.mark.pure


def report(peers: str, case: str, outcome: str, when: str = "call") -> Any:
    return SimpleNamespace(user_properties=[("peer case", (peers, case))], outcome=outcome, when=when)


def test_a_row_is_a_case_and_a_column_a_pair_of_peers() -> None:
    reports = {
        "passed": [report("A → B", "create", "passed"), report("A → B", "update", "passed")],
        "failed": [report("C → D", "create", "failed")],
        "": [report("C → D", "create", "passed", "setup")],
        "deselected": [SimpleNamespace(user_properties=[("peer case", ("E → F", "create"))])],
    }
    assert make_table(reports) == [
        "        A → B  C → D",
        "create  ok     FAILED",
        "update  ok     –",
    ]


def test_a_case_of_several_tests_has_the_worst_outcome() -> None:
    reports = {"passed": [report("A", "create", "passed")], "failed": [report("A", "create", "failed")]}
    assert make_table(reports)[1] == "create  FAILED"


def test_a_peer_that_does_not_start_fails_its_cases() -> None:
    assert make_table({"error": [report("A", "create", "failed", "setup")]})[1] == "create  FAILED"
