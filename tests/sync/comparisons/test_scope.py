"""A comparison knows the scope of its route: who is outside without a record is counted, who left is in step if the
record is as the route says, and who came back is planned again.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from sync.comparisons.agreement import shows_in_step
from sync.comparisons.make_equal import make_equal_at_once
from sync.comparisons.sides import entity_page
from sync.deliveries.routes import resolved_routes
from sync.execution.executor import run_due_deliveries
from sync.models import Comparison, Delivery, Difference, Link, MappingVersion, Route
from tests.support.builders.bulk_replays import staff_user
from tests.support.builders.compared_systems import (
    ComparedSystems,
    change_list,
    compare,
    compared_route,
    found_rows,
    link_record,
)
from tests.support.hub import ANNA, Hub

pytestmark = pytest.mark.concurrent

IS_STAFF = "entity.department == 'staff'"
Policy = Route.LeavingPolicy


def set_scope(on_leaving: str = Policy.LEAVE, condition: str = IS_STAFF, **values: Any) -> None:
    Route.objects.filter(entity_type="USER").update(condition=condition, on_leaving=on_leaving, **values)
    resolved_routes.invalidate()


def counts(comparison: Comparison) -> dict[str, int]:
    assert (comparison.state, comparison.failure) == ("done", "")
    return {name: count for name, count in comparison.counts.items() if count}


def seed_scope(systems: ComparedSystems) -> None:
    """Two inside, one of whom has no record; three outside without a link, of whom one record bears the id and one the
    address; three outside with a link: deactivated, active, and one whose record is gone.
    """
    systems.users[systems.add_pair(1)]["department"] = "staff"
    systems.add_user("U02", department="staff")
    for user in ("U10", "U11", "U12"):
        systems.add_user(user)
    systems.add_customer("c11", "U11")
    systems.add_customer("c12", None, email="u12@example.com")
    systems.add_pair(20, active=False)
    systems.add_pair(21)
    systems.add_pair(22)
    del systems.customers["c22"]


BASE = {"in-step": 1, "missing-record": 1, "out-of-scope": 3, "unknown-record": 1}
LEAVING = {
    Policy.LEAVE: ({"in-step-removed": 3}, []),
    Policy.DEACTIVATE: ({"in-step-removed": 2, "differs": 1}, [("U21", ["active"])]),
    Policy.DELETE: ({"in-step-removed": 1, "differs": 2}, [("U20", []), ("U21", [])]),
    Policy.UNLINK: ({"differs": 3}, [("U20", []), ("U21", []), ("U22", [])]),
}


@pytest.mark.parametrize("policy", LEAVING)
def test_outside_is_counted_and_who_left_differs_only_if_something_would_change(
    systems: ComparedSystems, policy: str
) -> None:
    """Holds that nobody outside is proposed as a missing record, and no leaver is in step by its digest."""
    seed_scope(systems)
    set_scope(policy)
    comparison = compare()
    more, leavers = LEAVING[Policy(policy)]
    assert counts(comparison) == BASE | more
    rows = Difference.objects.filter(comparison=comparison, kind="differs").order_by("entity_id")
    if policy == Policy.DELETE:
        assert [row.entity_id for row in rows] == ["U20", "U21"]
    else:
        assert [(row.entity_id, row.fields) for row in rows] == leavers
    assert {row.code for row in rows} <= {"out-of-scope"}
    outside = Difference.objects.filter(comparison=comparison, kind="out-of-scope")
    assert sorted(outside.values_list("entity_id", "code")) == [
        (user, "out-of-scope") for user in ("U10", "U11", "U12")
    ]
    assert shows_in_step(comparison) is False
    assert systems.writes == []


def test_without_a_list_of_the_target_who_left_is_read_by_the_link(systems: ComparedSystems) -> None:
    seed_scope(systems)
    change_list("target", is_removed=True)
    set_scope(Policy.DEACTIVATE)
    comparison = compare()
    assert counts(comparison)["in-step-removed"] == 2
    assert [row for row in found_rows(comparison) if row[0] == "differs"] == [("differs", "U21", "c21")]
    assert "GET /customers/c10" not in systems.requests


def test_a_condition_that_fails_is_reported_and_is_not_outside(systems: ComparedSystems) -> None:
    seed_scope(systems)
    set_scope(Policy.DELETE, "entity.department")
    comparison = compare()
    assert counts(comparison)["unmappable"] == 8
    assert "out-of-scope" not in counts(comparison)
    rows = Difference.objects.filter(comparison=comparison, kind="unmappable")
    assert set(rows.values_list("code", flat=True)) == {"mapping-failed"}


def test_of_those_outside_only_a_sample_is_kept(
    systems: ComparedSystems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Holds that a route for few of many entities leaves room for the rows of its differences."""
    monkeypatch.setattr(entity_page, "SAMPLE_SIZE", 2)
    for number in range(8):
        systems.add_user(f"U{number}")
    set_scope()
    comparison = compare()
    assert counts(comparison) == {"out-of-scope": 8}
    assert len(found_rows(comparison)) == 2
    assert shows_in_step(comparison) is True


def test_the_record_of_a_deleted_entity_is_not_in_step_because_leavers_are_deactivated(
    systems: ComparedSystems,
) -> None:
    set_scope(Policy.DEACTIVATE, when_deleted="delete")
    for number in range(1, 6):
        systems.users[systems.add_pair(number, active=number > 1)]["department"] = "staff"
    del systems.users["U01"]
    assert found_rows(compare()) == [("entity-gone", "U01", "c01")]


def test_who_came_back_is_planned_again_although_all_mapped_values_are_equal(
    systems: ComparedSystems,
) -> None:
    """Holds that the digests do not hide the reactivation."""
    version = MappingVersion.objects.get(mapping=compared_route().mapping)
    del version.declaration["fields"]["active"]
    MappingVersion.objects.filter(pk=version.pk).update(declaration=version.declaration)
    set_scope(Policy.DEACTIVATE, reactivation={"active": True})
    for user, is_active in (("U1", False), ("U2", True)):
        systems.add_user(user, department="staff")
        systems.add_customer(f"c{user}", user, active=is_active)
        link_record(user, f"c{user}", left_scope_at=timezone.now() - timedelta(days=1))
    comparison = compare()
    assert counts(comparison) == {"differs": 1, "in-step": 1}
    (row,) = Difference.objects.filter(comparison=comparison)
    assert (row.entity_id, row.fields, row.code) == ("U1", ["active"], "")


@pytest.fixture
def anna(hub: Hub) -> Iterator[Hub]:
    """Anna, linked to her record."""
    assert hub.post_signed({"id": ANNA, "entityType": "USER", "eventType": "UPDATE"}).status_code == 200
    yield hub
    hub.wait_until_quiet()


def make_equal(hub: Hub) -> str:
    make_equal_at_once(compared_route(), ANNA, "UPDATE", by=staff_user(), reason="compared")
    run_due_deliveries()
    hub.wait_until_quiet()
    return Delivery.objects.latest("pk").code


@pytest.mark.parametrize(
    ("policy", "left", "returned"),
    [
        (Policy.DEACTIVATE, "succeeded", "succeeded"),
        (Policy.DELETE, "succeeded", "succeeded"),
        (Policy.UNLINK, "unchanged", "unchanged"),
    ],
)
def test_who_leaves_and_comes_back_without_an_event_is_made_equal(
    anna: Hub, policy: str, left: str, returned: str
) -> None:
    """Holds both ways by comparison: found, made equal by the engine of a delivery, and in step afterwards."""
    set_scope(policy, reactivation={"active": True})
    before = compare()
    assert (ANNA, "differs") in Difference.objects.filter(comparison=before).values_list("entity_id", "kind")
    assert make_equal(anna) == left
    link = Link.objects.get(entity_id=ANNA)
    assert (link.left_scope_at is None, bool(link.record_id)) == (False, policy == Policy.DEACTIVATE)
    after = compare()
    assert not Difference.objects.filter(comparison=after, entity_id=ANNA).exclude(kind="out-of-scope")
    anna.identity.directory.update_record("users", ANNA, {"department": "staff"}, replaces=False)
    assert make_equal(anna) == returned
    link.refresh_from_db()
    assert (link.left_scope_at, bool(link.record_id), anna.customer()["active"]) == (None, True, True)
