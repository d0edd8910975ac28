"""promises I1 and I3: one request, whose connection to the database ends right after each of its commits.

The process lives and cannot know that everything is written: unlike a kill, it goes on with what it remembers.
"""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.faults.enumeration.cases import Case, Scenario
from tests.faults.enumeration.lanes import Lane, open_lane, run_all
from tests.faults.load.native_source import ACK

pytestmark = [pytest.mark.faults, pytest.mark.submission, pytest.mark.concurrent]

LANES = 2
MOST_COMMITS = 40
WAIT_SECONDS = (
    3  # a delivery whose claim got no answer is left to other processes, and nobody waits for them here
)


@pytest.fixture(scope="module")
def lanes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Lane]]:
    folder = tmp_path_factory.mktemp("cuts")
    with ExitStack() as stack:
        yield [stack.enter_context(open_lane(folder / f"lane_{number}")) for number in range(LANES)]


@pytest.mark.promise("I1", "I3")
@pytest.mark.parametrize(
    "scenario",
    [
        Scenario("create", exists=False, wait_seconds=WAIT_SECONDS),
        Scenario("update", exists=True, wait_seconds=WAIT_SECONDS),
        Scenario("refused once", exists=True, fails_once=True, wait_seconds=WAIT_SECONDS),
        Scenario("deferred create", exists=False, is_deferred=True),
        Scenario("deferred update", exists=True, is_deferred=True),
        Scenario("batch answered at once", exists=True, batch=ACK),
    ],
    ids=lambda scenario: scenario.name,
)
def test_no_commit_whose_answer_is_lost_leaves_a_false_row_or_a_finding_of_the_night(
    lanes: list[Lane], scenario: Scenario
) -> None:
    unhurt = lanes[0].run(Case(scenario, at=0, cuts=True))
    assert unhurt.complaints == []
    commits = len(unhurt.operations)
    assert 1 <= commits <= MOST_COMMITS
    outcomes = run_all(lanes, [Case(scenario, at, cuts=True) for at in range(1, commits + 1)])
    cut = [outcome for outcome in outcomes if outcome.died]
    print(f"\n{scenario.name}: {len(cut)} of {commits} commits cut: {[outcome.died for outcome in cut]}")
    assert [str(outcome) for outcome in outcomes if outcome.complaints] == []
    # Threads of the hub run beside each other, so that two commits may be one in another run.
    assert len(cut) >= 0.75 * commits, "too few commits were cut"
