"""What a catch-up costs: a few statements a page and a batch, each by an index."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.support.builders.changing_people import (
    ChangingPeople,
    caught_up,
    changing_people,
    run_catch_up,
    start_catch_up,
)
from tests.support.database.query_plans import find_unindexed_statements, recorded_statements
from tests.support.hub import Hub

pytestmark = pytest.mark.concurrent
GROWING = ("webhooks_event", "webhooks_subjectkey", "sync_delivery", "sync_attempt", "sync_changedentity")


# With the statistics of a test PostgreSQL may begin with the attempts: it does not know how few there are of an event.
@pytest.mark.only_sqlite
def test_a_run_reads_no_growing_table_whole(hub: Hub, people: ChangingPeople) -> None:
    people.change_all("P0", "P1", "P2", ago=60)
    run_catch_up()
    hub.wait_until_idle()
    people.change_all("P1", "P3", ago=0)
    with recorded_statements() as statements:
        run_catch_up()
    assert sorted(caught_up()) == ["P0", "P1", "P1", "P2", "P3"]
    about_much = [seen for seen in statements if any(table in seen.sql for table in GROWING)]
    assert len(about_much) > 5
    assert find_unindexed_statements(connection, about_much) == {}


@pytest.mark.submission
def test_a_page_of_many_costs_as_many_statements_as_one_of_few(hub: Hub) -> None:
    """Of entities that were delivered: most of what a catch-up lists."""
    counts = []
    with changing_people(size=100) as people:
        start_catch_up()
        for number in (3, 60):
            people.change_all(*(f"P{place}" for place in range(number)), ago=300)
            run_catch_up()
            hub.wait_until_idle()
            with CaptureQueriesContext(connection) as captured:
                assert run_catch_up().made == 0
            counts.append(len(captured))
    assert counts[0] == counts[1] < 60
