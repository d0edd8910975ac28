"""Groups of fault tests that one process of the fault suite runs, one test after the other; all others are distributed
singly.

xdist has marks for this, which version 3.8 does not see in the ids of pytest 9.2.
"""

from collections.abc import Mapping

from xdist.scheduler import LoadScopeScheduling

GROUPS: Mapping[str, str] = {
    # These keep the whole machine busy for long: begun first, and never two at once.
    "faults/comparison/test_comparison_under_load.py": "load",
    "faults/test_deploys.py": "load",
    "faults/test_freshness.py": "load",
    "faults/test_outcomes.py::test_in_a_mix_of_all_answers_each_delivery_ends_as_expected_and_none_is_stuck": "load",
    "faults/test_storm.py": "load",
    "faults/test_writers.py": "load",
    # These check times, which a load test beside them would change.
    "faults/outages/test_outage.py": "load",
    "web_server/test_slow_clients.py": "load",
    "web_server/test_slow_readers.py": "load",
    # These share what takes seconds to start: four servers, and a PostgreSQL that may be stopped.
    "faults/test_every_operation.py": "lanes",
    "faults/test_storage.py": "storage",
}
"""File in `tests`, or name of a test for all of its parameters → group."""


class GroupScheduling(LoadScopeScheduling):
    """Distribute groups first, the largest of all, then single tests in the order of their collection."""

    def _split_scope(self, nodeid: str) -> str:
        name = nodeid.partition("[")[0].removeprefix("tests/")
        return GROUPS.get(name) or GROUPS.get(name.partition("::")[0]) or nodeid
