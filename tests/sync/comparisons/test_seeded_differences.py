"""A comparison finds each seeded difference, of all kinds, and no other, and writes nothing; made equal, the two are in
step but for what a person decides.
"""

from typing import Any

import pytest
from django.db import connection

from sync.comparisons.agreement import shows_in_step
from sync.comparisons.make_equal import select_differences
from sync.models import Delivery
from tests.support.builders.bulk_replays import staff_user, start_bulk_replay
from tests.support.compared_people import SHARES, fill_systems, seed_differences
from tests.support.comparisons import found_ids, make_everything_equal, run_comparison
from tests.support.database.query_plans import find_unindexed_statements, recorded_statements
from tests.support.hub import Hub
from tests.support.jobs import run_jobs
from webhooks.models import Event

pytestmark = pytest.mark.concurrent

SEED = 20261203
LARGE_TABLES = (
    *("sync_delivery", "sync_attempt", "sync_difference", "sync_comparisonrecord"),
    *("sync_personrequestmember", "webhooks_event", "webhooks_subjectkey"),
)


def execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.promise("I29", "I30")
def test_each_seeded_difference_is_found_and_nothing_is_written(hub: Hub, settings: Any) -> None:
    settings.ABSENCE_CONFIRM_SECONDS = 0.0
    fill_systems(hub.identity, hub.shop, 25, execute)
    seeded = seed_differences(hub.identity, hub.shop, range(20), execute, SEED)
    records = hub.shop.list_records("customers")
    comparison = run_comparison()
    assert comparison.is_complete, (comparison.failure, comparison.identity_gap, comparison.target_gap)
    assert found_ids(comparison) == seeded.by_kind
    assert {kind: comparison.counts.get(kind, 0) for kind in SHARES} == {
        kind: len(ids) for kind, ids in seeded.by_kind.items()
    }
    assert comparison.counts["in-step"] == 5
    differing = comparison.differences.filter(kind="differs")
    assert all(differing.values_list("fields", flat=True)), "fields are named from both sides fetched anew"
    assert shows_in_step(comparison) is False
    assert hub.writes() == hub.identity.read_journal(only_writes=True) == []
    assert hub.shop.list_records("customers") == records
    assert not Delivery.objects.exists()


@pytest.mark.submission
def test_what_was_made_equal_is_in_step_but_for_the_kinds_without_a_button(hub: Hub, settings: Any) -> None:
    settings.ABSENCE_CONFIRM_SECONDS = 0.0
    fill_systems(hub.identity, hub.shop, 25, execute)
    seeded = seed_differences(hub.identity, hub.shop, range(20), execute, SEED)
    make_everything_equal(hub, run_comparison(), staff_user())
    # On the second night those who left bear the deactivation, and are counted as in step (removed).
    second = run_comparison()
    kept = {"found-by-value", "unlinked-record", "unknown-record"}
    assert found_ids(second) == {kind: ids for kind, ids in seeded.by_kind.items() if kind in kept}
    assert second.counts["in-step-removed"] == len(seeded.by_kind["entity-gone"])
    assert shows_in_step(second) is False


@pytest.mark.submission
def test_no_statement_reads_a_table_whole_that_grows(hub: Hub, settings: Any) -> None:
    """Holds that each statement of a comparison, and of making equal, finds its rows by an index."""
    settings.ABSENCE_CONFIRM_SECONDS = 0.0
    fill_systems(hub.identity, hub.shop, 25, execute)
    seed_differences(hub.identity, hub.shop, range(20), execute, SEED)
    by = staff_user()
    with recorded_statements() as seen:
        comparison = run_comparison()
        start_bulk_replay(by, select_differences(by, comparison, comparison.route, kinds=["differs"]))
        run_jobs("event-set", "replay")
    hub.wait_until_idle()
    assert Event.objects.count() > 0
    # Comparisons themselves are few: as many as schedules made within the retention.
    statements = [
        one
        for one in seen
        if any(table in one.sql for table in LARGE_TABLES) and 'FROM "sync_comparison" ' not in one.sql
    ]
    assert len(statements) > 20
    assert find_unindexed_statements(connection, statements) == {}
