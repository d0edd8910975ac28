"""Promises I1 and I3: one request, killed before and after every operation of the process that serves it."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.faults.enumeration.cases import Case, Scenario
from tests.faults.enumeration.lanes import Lane, open_lane, run_all
from tests.faults.load.native_source import ACK, RESULT

pytestmark = [pytest.mark.faults, pytest.mark.submission, pytest.mark.concurrent]

LANES = 4
UPDATE, CREATE = Scenario("update", exists=True), Scenario("create", exists=False)
DEFERRED = Scenario("deferred update", exists=True, is_deferred=True)
BATCH_AT_ONCE = Scenario("batch answered at once", exists=True, batch=ACK)
BATCH_WITH_OUTCOME = Scenario("batch answered with the outcome", exists=True, batch=RESULT)


@pytest.fixture(scope="module")
def lanes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Lane]]:
    folder = tmp_path_factory.mktemp("enumeration")
    with ExitStack() as stack:
        yield [stack.enter_context(open_lane(folder / f"lane_{number}")) for number in range(LANES)]


@pytest.mark.promise("I1", "I3")
@pytest.mark.parametrize("scenario", [UPDATE, CREATE, DEFERRED], ids=lambda scenario: scenario.name)
def test_killed_at_every_operation_a_webhook_is_neither_lost_nor_done_twice(
    lanes: list[Lane], scenario: Scenario
) -> None:
    """A kill before an operation is like one after the previous operation: both are tried for an update only."""
    kill_at_every_operation(lanes, scenario)


@pytest.mark.promise("I1")
@pytest.mark.parametrize("scenario", [BATCH_AT_ONCE, BATCH_WITH_OUTCOME], ids=lambda scenario: scenario.name)
def test_killed_at_every_operation_a_batch_is_stored_whole_or_not_at_all(
    lanes: list[Lane], scenario: Scenario
) -> None:
    kill_at_every_operation(lanes, scenario)


def kill_at_every_operation(lanes: list[Lane], scenario: Scenario) -> None:
    unhurt = lanes[0].run(Case(scenario))
    assert unhurt.complaints == []
    assert "database commit" in unhurt.operations, "the operations of the database are not counted"
    total = len(unhurt.operations)
    print(f"\n{scenario.name}: K = {total}: {dict(Counter(unhurt.operations))}")
    moments = (False, True) if scenario is UPDATE else (True,)
    steps = _steps(unhurt.operations) if scenario is BATCH_WITH_OUTCOME else range(1, total + 1)
    outcomes = run_all(lanes, [Case(scenario, at, after) for at in steps for after in moments])
    died = [outcome for outcome in outcomes if outcome.died]
    unknown = sum(outcome.drained.unknown for outcome in died)
    print(f"{len(died)} of {len(outcomes)} died, {unknown} attempts unknown; the last: {outcomes[-1].final}")
    assert [str(outcome) for outcome in outcomes if outcome.complaints] == []
    # Threads of the hub run beside each other, so that a run may have some operations less than the one that counted.
    assert len(died) >= 0.75 * len(outcomes), "too many lived"
    assert unknown or scenario.batch, "no death hit an attempt"
    early = sum(not outcome.drained.stored for outcome in died)
    assert early or scenario.is_deferred, "no death came before the request was stored"
    assert early < len(died), "no death came after the request was stored"


def _steps(operations: tuple[str, ...]) -> list[int]:
    """Return the operations around the commit of the events, and every twentieth of those after it.

    The operations before it are those of a batch that is answered at once, and the deliveries of three events run at
    once, in another order each time: some of their operations are enough.
    """
    commit = operations.index("database commit") + 1
    return [
        at for at in range(1, len(operations) + 1) if abs(at - commit) < 3 or (at > commit and at % 20 == 0)
    ]
