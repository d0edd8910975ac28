"""Promises I1 and I3: one webhook, killed before and after every operation of the process that serves it."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.enumeration.cases import Case, Scenario
from tests.faults.enumeration.lanes import Lane, open_lane, run_all

pytestmark = pytest.mark.faults

LANES = 4
UPDATE, CREATE = Scenario("update", exists=True), Scenario("create", exists=False)
DEFERRED = Scenario("deferred update", exists=True, is_deferred=True)


@pytest.fixture(scope="module")
def lanes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Lane]]:
    folder = tmp_path_factory.mktemp("enumeration")
    with ExitStack() as stack:
        yield [stack.enter_context(open_lane(folder / f"lane_{number}")) for number in range(LANES)]


def test_killed_before_and_after_every_operation_an_update_is_neither_lost_nor_done_twice(
    lanes: list[Lane],
) -> None:
    kill_at_every_operation(lanes, UPDATE, moments=(False, True))


@pytest.mark.parametrize("scenario", [CREATE, DEFERRED], ids=lambda scenario: scenario.name)
def test_killed_after_every_operation_other_work_is_neither_lost_nor_done_twice(
    lanes: list[Lane], scenario: Scenario, is_long: bool
) -> None:
    """A kill before an operation is like one after the previous operation; the nightly run does both."""
    kill_at_every_operation(lanes, scenario, moments=(False, True) if is_long else (True,))


def kill_at_every_operation(lanes: list[Lane], scenario: Scenario, moments: tuple[bool, ...]) -> None:
    unhurt = lanes[0].run(Case(scenario))
    assert unhurt.complaints == []
    assert "database commit" in unhurt.operations, "the operations of the database are not counted"
    total = len(unhurt.operations)
    print(f"\n{scenario.name}: K = {total}: {dict(Counter(unhurt.operations))}")
    cases = [Case(scenario, at, after) for at in range(1, total + 1) for after in moments]
    outcomes = run_all(lanes, cases)
    died = [outcome for outcome in outcomes if outcome.died]
    unknown = sum(outcome.drained.unknown for outcome in died)
    print(f"{len(died)} of {len(cases)} died, {unknown} attempts unknown; the last: {outcomes[-1].final}")
    assert [str(outcome) for outcome in outcomes if outcome.complaints] == []
    assert len(died) >= 0.9 * len(cases), "too many lived: the operations differ from run to run"
    assert unknown, "no death hit an attempt"
    is_early = any(not outcome.drained.stored for outcome in died)
    assert is_early or scenario.is_deferred, "no death came before the webhook was stored"


DECISIVE_OPERATIONS = ("socket sendall", "database commit")


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("mutant", "figure"),
    [("answer-before-storing", "lost"), ("row-after-response", "unaccounted"), ("lease-for-ever", "stuck")],
)
def test_each_broken_variant_is_caught(tmp_path: Path, mutant: str, figure: str) -> None:
    with open_lane(tmp_path / "lane", mutant) as lane:
        operations = lane.run(Case(UPDATE)).operations
        # Most faults show after a commit, or after a message to another process: these are tried first.
        order = sorted(range(len(operations)), key=lambda at: operations[at] not in DECISIVE_OPERATIONS)
        outcomes = (lane.run(Case(UPDATE, at + 1, after=True)) for at in order)
        caught = next((outcome for outcome in outcomes if figure in outcome.drained.complaints), None)
    assert caught is not None, "the broken variant passes"
    print(f"\n{mutant}: {caught}")
