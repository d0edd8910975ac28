"""A comparison reads both lists, page by page, reports each kind of difference, and survives any death of its worker."""

import json
from typing import Any

import pytest

from audit.entries.readable_rows import parse_details
from audit.models import Entry
from sync.comparisons.requests import cancel_comparison
from sync.comparisons.result import delete_old_rows
from sync.comparisons.sides.comparison_run import ComparisonRun
from sync.deliveries.routes import resolved_routes
from sync.models import Comparison, ComparisonRecord, Difference, Link, MappingVersion, Route
from tests.support.builders.compared_systems import (
    ComparedSystems,
    add_delivery,
    begin_comparison,
    change_list,
    compare,
    compared_route,
    found_rows,
    link_record,
    run_to_end,
)
from tests.support.connections import copy_connection
from tests.support.jobs import die_three_times, end_leases, run_jobs
from webhooks.models import keyed_digest

pytestmark = pytest.mark.concurrent


class Killed(BaseException):
    """The process dies here."""


def test_systems_in_step_cost_one_request_a_page(systems: ComparedSystems) -> None:
    for number in range(7):
        systems.add_pair(number)
    comparison = compare()
    assert (comparison.state, comparison.counts, comparison.is_complete) == ("done", {"in-step": 7}, True)
    assert systems.requests == ["GET /customers"] * 3 + ["GET /users"] * 3
    read = (comparison.read_records, comparison.read_entities, comparison.request_count)
    assert (*read, comparison.total_records, comparison.total_entities) == (7, 7, 6, 7, 7)
    assert not ComparisonRecord.objects.exists()
    ended = Entry.objects.get(stream=comparison.stream, action="comparison.ended")
    assert parse_details(ended.details)["counts"] == {"in-step": 7}


def seed_all_kinds(systems: ComparedSystems) -> None:
    """One difference of each kind, and of each reason for none, among four people who are in step."""
    for number in range(4):
        systems.add_pair(number)
    systems.add_pair(10, last_name="Other")
    systems.add_user("U11")
    systems.add_customer("c11", "U11", last_name="Other")
    systems.add_user("U12")
    systems.add_customer("c12", "U12")
    systems.add_user("U20")
    systems.add_user("U21")
    link_record("U21", "c21")
    systems.add_user("U30")
    systems.add_customer("c30", None, email="u30@example.com")
    for gone, is_active in ((40, True), (41, False)):
        systems.add_pair(gone, active=is_active)
        del systems.users[f"U{gone}"]
    systems.add_user("U50", emails=[])
    systems.add_customer("c60", "stranger")
    systems.add_customer("c61", None)
    systems.add_customer("c62", "U62")
    link_record("U62", "c62", other_service())
    systems.add_pair(70, last_name="Other")
    add_delivery("U70", "retrying")
    systems.add_pair(71, last_name="Other")
    add_delivery("U71", "dead", code="target-rejected")


def other_service() -> Route:
    """Return an unsaved route of another identity service to the same target."""
    route = compared_route()
    route.identity = copy_connection(compared_route().identity, "other-id", name="Other ID")
    return route


EXPECTED_ROWS = [
    ("differs", "U10", "c10"),
    ("differs", "U11", "c11"),
    ("differs", "U71", "c71"),
    ("entity-gone", "U40", "c40"),
    ("found-by-value", "U30", "c30"),
    ("missing-record", "U20", ""),
    ("missing-record", "U21", ""),
    ("unknown-record", "", "c61"),
    ("unlinked-record", "", "c60"),
    ("unmappable", "U50", ""),
]
EXPECTED_COUNTS = {
    "in-step": 5,
    "in-step-removed": 1,
    "in-delivery": 1,
    "others": 1,
    "differs": 3,
    "entity-gone": 1,
    "found-by-value": 1,
    "missing-record": 2,
    "unknown-record": 1,
    "unlinked-record": 1,
    "unmappable": 1,
}


def test_each_kind_of_difference_is_found_once_and_nothing_is_written(systems: ComparedSystems) -> None:
    seed_all_kinds(systems)
    comparison = compare()
    assert (comparison.state, comparison.failure, comparison.is_complete) == ("done", "", True)
    assert found_rows(comparison) == EXPECTED_ROWS
    assert {name: count for name, count in comparison.counts.items() if count} == EXPECTED_COUNTS
    failed = Difference.objects.get(comparison=comparison, entity_id="U71")
    assert (failed.delivery_state, failed.code, failed.fields) == ("dead", "target-rejected", ["last_name"])
    assert systems.writes == []


@pytest.mark.submission
def test_a_worker_that_dies_before_and_after_each_commit_changes_nothing(
    systems: ComparedSystems, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed_all_kinds(systems)
    commit, require = ComparisonRun.commit, ComparisonRun.require_running
    deaths = {"before": 0, "after": 0, "due": False}

    def die_before_or_commit(run: ComparisonRun, **values: Any) -> None:
        commit(run, **values)
        if not deaths["due"]:
            # The transaction is rolled back.
            deaths["before"], deaths["due"] = deaths["before"] + 1, True
            raise Killed
        deaths["due"] = False
        deaths["after"] += 1

    def die_after_commit(run: ComparisonRun) -> None:
        require(run)
        if deaths["after"] > deaths.setdefault("died", 0):
            deaths["died"] = deaths["after"]
            raise Killed

    monkeypatch.setattr(ComparisonRun, "commit", die_before_or_commit)
    monkeypatch.setattr(ComparisonRun, "require_running", die_after_commit)
    comparison = begin_comparison()
    for _ in range(200):
        try:
            comparison = run_to_end(comparison)
            break
        except Killed:
            end_leases()
    assert deaths["before"] >= 12
    assert (comparison.state, found_rows(comparison)) == ("done", EXPECTED_ROWS)
    assert {name: count for name, count in comparison.counts.items() if count} == EXPECTED_COUNTS
    assert (comparison.read_records, comparison.read_entities) == (len(systems.customers), len(systems.users))


def test_leavers_whose_records_are_deactivated_cost_no_request(systems: ComparedSystems) -> None:
    for number in range(6):
        systems.add_pair(number, active=number < 3)
    for number in (3, 4, 5):
        del systems.users[f"U{number:02}"]
    comparison = compare()
    assert comparison.counts == {"in-step": 3, "in-step-removed": 3}
    assert systems.requests == ["GET /customers"] * 2 + ["GET /users"]


def test_items_of_lists_that_are_not_whole_are_read_one_by_one(systems: ComparedSystems) -> None:
    for side in ("identity", "target"):
        change_list(side, whole_items=False)
    for number in range(4):
        systems.add_pair(number)
    comparison = compare()
    assert (comparison.counts, comparison.is_complete) == ({"in-step": 4}, True)
    assert len(systems.requests) == 2 * (2 + 4)


def test_unkept_fields_and_those_without_a_value_make_no_difference_and_a_first_value_is_noted(
    systems: ComparedSystems,
) -> None:
    systems.add_pair(0, last_name="FAMILY", phone="+358 1")
    digest = keyed_digest("unkept", "USER", "U00", "last_name", "FAMILY", "Family")
    Link.objects.update(write_counts=json.dumps({"last_name": [digest, 5]}), unkept_fields='["last_name"]')
    MappingVersion.objects.update(fields_with_value=["email", "first_name", "last_name"])
    resolved_routes.invalidate()
    assert compare().counts == {"in-step": 1}
    systems.users["U00"]["mobiles"] = [{"number": "+358 1"}]
    assert compare().counts == {"in-step": 1}
    assert "phone" in MappingVersion.objects.get(mapping=compared_route().mapping).fields_with_value
    del systems.users["U00"]["mobiles"]
    comparison = compare()
    assert [row.fields for row in Difference.objects.filter(comparison=comparison)] == [["phone"]]


def test_two_services_with_the_same_ids_say_nothing_about_each_others_records(
    systems: ComparedSystems,
) -> None:
    other = other_service()
    for number in range(4):
        user = systems.add_pair(number)
        systems.add_customer(f"other{number}", user)
        link_record(user, f"other{number}", other)
    # Of the other service alone, and without a record of its own.
    systems.add_customer("other9", "U09")
    link_record("U09", "other9", other)
    systems.add_user("U09")
    comparison = compare()
    assert found_rows(comparison) == [("missing-record", "U09", "")]
    assert {name: count for name, count in comparison.counts.items() if count} == {
        "in-step": 4,
        "others": 5,
        "missing-record": 1,
    }


def test_a_cancelled_comparison_stops_at_the_next_page_and_leaves_no_row(
    systems: ComparedSystems, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed_all_kinds(systems)
    comparison = begin_comparison()
    require = ComparisonRun.require_running

    def cancel_then_require(run: ComparisonRun) -> None:
        if run.comparison.read_entities:
            cancel_comparison(comparison, by=None)
        require(run)

    monkeypatch.setattr(ComparisonRun, "require_running", cancel_then_require)
    run_jobs("comparison")
    comparison.refresh_from_db()
    assert (comparison.state, comparison.read_entities) == ("cancelled", 3)
    delete_old_rows()
    assert not ComparisonRecord.objects.exists()
    assert not Difference.objects.exists()


def test_a_route_that_is_changed_meanwhile_ends_the_comparison(
    systems: ComparedSystems, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        systems.add_pair(number)
    comparison, require = begin_comparison(), ComparisonRun.require_running
    other = copy_connection(compared_route().target, "other-shop")

    def change_then_require(run: ComparisonRun) -> None:
        if run.comparison.read_records:
            Route.objects.filter(pk=run.comparison.route_id).update(target=other)
            resolved_routes.invalidate()
        require(run)

    monkeypatch.setattr(ComparisonRun, "require_running", change_then_require)
    run_to_end(comparison)
    assert (comparison.state, comparison.failure) == ("failed", "route-changed")
    assert systems.requests == ["GET /customers"]


def test_a_comparison_whose_process_dies_again_and_again_fails_and_says_so(systems: ComparedSystems) -> None:
    comparison = begin_comparison()
    die_three_times("comparison")
    comparison.refresh_from_db()
    assert (comparison.state, comparison.failure) == ("failed", "internal-failure")
    ended = Entry.objects.get(stream=comparison.stream, action="comparison.ended")
    assert parse_details(ended.details)["failure"] == "internal-failure"
    assert begin_comparison() != comparison


def test_since_and_repairs_are_carried_over_and_older_rows_are_deleted(systems: ComparedSystems) -> None:
    systems.add_pair(0, last_name="Other")
    first = compare()
    known = Difference.objects.get(comparison=first)
    Difference.objects.update(repairs=1, is_repaired=True)
    second = compare()
    again = Difference.objects.get(comparison=second)
    assert (again.since, again.repairs, again.is_repaired) == (known.since, 2, False)
    systems.customers["c00"]["last_name"] = "Family"
    assert found_rows(compare()) == []
    systems.customers["c00"]["last_name"] = "Other"
    fourth = compare()
    assert Difference.objects.get(comparison=fourth).since > known.since
    assert set(Difference.objects.values_list("comparison", flat=True)) == {fourth.pk}
    assert Comparison.objects.filter(state="done").count() == 4
