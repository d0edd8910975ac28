"""Groups of fault tests that one process of `make faults` runs, one test after the other; all others are distributed singly.

xdist has marks for this, which version 3.8 does not see in the ids of pytest 9.2.
"""

from collections.abc import Mapping

from xdist.scheduler import LoadScopeScheduling

GROUPS: Mapping[str, str] = {
    # These keep the whole machine busy for long: begun first, and never two at once.
    "faults/test_deploys.py::test_five_rolling_restarts_and_a_migration_under_load_lose_and_refuse_nothing": "load",
    "faults/test_freshness.py::test_under_load_with_failures_duplicates_bursts_and_replays_nothing_is_stale_or_missed": "load",
    "faults/test_outcomes.py::test_in_a_mix_of_all_answers_each_delivery_ends_as_expected_and_none_is_stuck": "load",
    "faults/test_storm.py::test_four_web_processes_and_four_workers_killed_at_random_all_converge": "load",
    "faults/test_writers.py::test_web_processes_and_workers_write_together_and_none_finds_the_file_locked": "load",
    # These check times or a throughput, which a load test beside them would change.
    "faults/outages/test_outage.py::test_an_outage_of_ten_minutes_uses_no_retries_and_ends_without_a_burst_of_requests": "load",
    "faults/outages/test_partial_failure.py::test_a_shop_that_fails_at_random_gets_most_of_what_its_failing_share_allows": "load",
    "faults/outages/test_partial_failure.py::test_a_breaker_that_counts_attempts_in_a_row_is_caught_by_its_throughput": "load",
    "web_server/test_slow_clients.py": "load",
    "web_server/test_slow_readers.py": "load",
    # These share what takes seconds to start: four servers, and a PostgreSQL that may be stopped.
    "faults/test_every_operation.py::test_killed_before_and_after_every_operation_an_update_is_neither_lost_nor_done_twice": "lanes",
    "faults/test_every_operation.py::test_killed_after_every_operation_other_work_is_neither_lost_nor_done_twice": "lanes",
    "faults/test_storage.py::test_webhooks_that_cannot_be_stored_are_refused_and_the_hub_recovers_by_itself": "storage",
}
"""File in `tests`, and name of a test for all of its parameters → group."""


class GroupScheduling(LoadScopeScheduling):
    """Distribute groups first, the largest of all, then single tests in the order of their collection."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid) or nodeid


def group_of(nodeid: str) -> str | None:
    """Return the group of a test; None for a single one."""
    name = nodeid.partition("[")[0].removeprefix("tests/")
    return GROUPS.get(name) or GROUPS.get(name.partition("::")[0])
