"""Promises I1 and I3: a batch of three events, killed at every operation, is stored whole or not at all."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.enumeration.cases import Case, Outcome, Scenario
from tests.faults.enumeration.lanes import Lane, open_lane, run_all
from tests.faults.load.native_source import ACK, RESULT

pytestmark = pytest.mark.faults

LANES = 2
AT_ONCE = Scenario("batch answered at once", exists=True, batch=ACK)
WITH_OUTCOME = Scenario("batch answered with the outcome", exists=True, batch=RESULT)


@pytest.fixture(scope="module")
def lanes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Lane]]:
    folder = tmp_path_factory.mktemp("batches")
    with ExitStack() as stack:
        yield [
            stack.enter_context(open_lane(folder / f"lane_{number}", has_native_sources=True))
            for number in range(LANES)
        ]


@pytest.mark.parametrize("scenario", [AT_ONCE, WITH_OUTCOME], ids=lambda scenario: scenario.name)
def test_killed_after_every_operation_a_batch_is_stored_whole_or_not_at_all(
    lanes: list[Lane], scenario: Scenario, is_long: bool
) -> None:
    """A kill before an operation is like one after the previous operation; the nightly run does both."""
    unhurt = lanes[0].run(Case(scenario))
    assert unhurt.complaints == []
    total = len(unhurt.operations)
    print(f"\n{scenario.name}: K = {total}: {dict(Counter(unhurt.operations))}")
    moments = (False, True) if is_long else (True,)
    # The deliveries of three events run at once, in another order each time: some of their operations are enough.
    steps = range(1, total + 1) if is_long or scenario is AT_ONCE else _steps(unhurt.operations)
    outcomes = run_all(lanes, [Case(scenario, at, after) for at in steps for after in moments])
    died = [outcome for outcome in outcomes if outcome.died]
    whole = sum(bool(outcome.drained.stored) for outcome in died)
    print(f"{len(died)} of {len(outcomes)} died, {whole} of them after the events were stored")
    assert [str(outcome) for outcome in outcomes if outcome.complaints] == []
    assert len(died) >= 0.9 * len(outcomes), "too many lived: the operations differ from run to run"
    assert 0 < whole < len(died), "all died before the events were stored, or all after it"


def _steps(operations: tuple[str, ...]) -> list[int]:
    """Return the operations around the commit of the events, and every twentieth of those after it. The operations before
    it are those of a batch that is answered at once.
    """
    commit = operations.index("database commit") + 1
    return [
        at for at in range(1, len(operations) + 1) if abs(at - commit) < 3 or (at > commit and at % 20 == 0)
    ]


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("mutant", "figure"), [("batch-answer-first", "lost"), ("batch-in-two-commits", "partial")]
)
def test_each_broken_variant_is_caught(tmp_path: Path, mutant: str, figure: str) -> None:
    with open_lane(tmp_path / "lane", mutant, has_native_sources=True) as lane:
        operations = lane.run(Case(AT_ONCE)).operations
        # Commits first: most faults show there.
        steps = sorted(range(1, len(operations) + 1), key=lambda at: operations[at - 1] != "database commit")
        outcomes = (lane.run(Case(AT_ONCE, at, after=True)) for at in steps)
        caught = next((outcome for outcome in outcomes if _has_fault(outcome, figure)), None)
    assert caught is not None, "the broken variant passes"
    print(f"\n{mutant}: {caught}")


def _has_fault(outcome: Outcome, figure: str) -> bool:
    return any(complaint.startswith(figure) for complaint in outcome.complaints)
