"""What a comparison by schedule found is made equal by itself, within the bounds of its route; else it is reported."""

from collections.abc import Callable
from typing import Any

import pytest

from sync.comparisons.repairs import (
    find_repairable,
    repair_after_schedules,
)
from sync.models import MAX_REPAIRS_IN_A_ROW, Comparison, Delivery, Difference, PersonRequest, Route
from sync.monitoring.comparison_figures import load_pairs
from tests.support.builders.bulk_replays import staff_user
from tests.support.builders.differences import a_comparison, a_difference, drift, user_route
from tests.support.hub import Hub, wait_until_quiet
from tests.support.people import entries
from webhooks.models import Event


def compared_by_schedule(counts: dict[str, int], **values: Any) -> Comparison:
    return a_comparison(**{"cause": "schedule", "counts": counts} | values)


def repairing_route(**values: Any) -> Route:
    """Let the route of users make at most two differences equal by itself, as a person has set it."""
    by = staff_user("setter")
    settings = {"compare_every_hours": 24, "repairs_differences": True, "max_repairs": 2}
    Route.objects.filter(pk=user_route().pk).update(**settings | {"schedule_set_by": by} | values)
    return user_route()


def outcome() -> str:
    repair_after_schedules()
    return Comparison.objects.order_by("-pk").values_list("repair", flat=True)[0]


def test_differences_are_made_equal_once_and_missing_records_only_if_switched_on(hub: Hub) -> None:
    route = repairing_route()
    comparison = compared_by_schedule({"differs": 2, "missing-record": 1, "entity-gone": 1})
    names = drift(hub, 2, comparison)
    a_difference(comparison, "missing-record", "NOBODY")
    a_difference(comparison, "entity-gone", "GONE")
    assert outcome() == "made"
    wait_until_quiet()
    assert [hub.customer(name)["email"] for name in names] == [
        f"{name.lower()}@example.com" for name in names
    ]
    assert sorted(Event.objects.values_list("entity_id", flat=True)) == sorted(names)
    (entry,) = entries("comparison.equalised")
    assert entry["actor"] == "system"
    assert entry["details"]["set_by"] == f"person:{route.schedule_set_by_id}"
    assert route.slug in entry["details"]["reason"]
    assert f"person:{route.schedule_set_by_id}" in entry["details"]["reason"]


def test_a_process_that_dies_after_the_repair_repeats_nothing_and_keeps_the_outcome(hub: Hub) -> None:
    repairing_route()
    drift(hub, 2, compared_by_schedule({"differs": 2}))
    assert outcome() == "made"
    Comparison.objects.update(repair="")
    assert outcome() == "made", "its own deliveries are no other repair"
    assert Event.objects.count() == len(entries("comparison.equalised")) * 2 == 2


def test_a_pair_that_fails_does_not_stop_the_others(hub: Hub) -> None:
    repairing_route()
    drift(hub, 1, compared_by_schedule({"differs": 1}))
    first = user_route()
    first.pk, first.slug, first.entity_type = None, "", "ACCOUNT"
    first.save()
    broken = compared_by_schedule({}, route=first)
    Comparison.objects.filter(pk=broken.pk).update(counts=[])
    assert next(pair.route.entity_type for pair in load_pairs()) == "ACCOUNT", "it comes first"
    repair_after_schedules()
    assert set(Comparison.objects.values_list("repair", flat=True)) == {"", "made"}


def test_a_missing_record_is_created_if_switched_on(hub: Hub) -> None:
    repairing_route(repairs_missing_records=True)
    comparison = compared_by_schedule({"missing-record": 1})
    a_difference(comparison, "missing-record", "IDNUMBER1234")
    assert outcome() == "made"
    wait_until_quiet()
    assert hub.customer("IDNUMBER1234")["external_id"] == "IDNUMBER1234"


def _request_of_target(state: str) -> None:
    PersonRequest.objects.create(
        requested_by=staff_user("other"),
        reason="it drifted",
        created_at=user_route().updated_at,
        state=state,
        route=user_route(),
    )


def _delivery_of_a_comparison(state: str) -> None:
    event = Event.objects.create(
        source=user_route().source,
        entity_type="USER",
        entity_id="OTHER",
        event_type="UPDATE",
        is_signed=False,
        digest=b"\x07" * 32,
        received_at=user_route().updated_at,
        state=state,
        origin="comparison",
    )
    route = user_route()
    Delivery.objects.create(
        event=event,
        route=route,
        identity=route.identity,
        target=route.target,
        entity_type="USER",
        entity_id="OTHER",
        state=state,
        opened_at=event.received_at,
    )


@pytest.mark.submission_rows(6)
@pytest.mark.parametrize(
    ("prepare", "values", "expected"),
    [
        (lambda: None, {"counts": {"differs": 3}}, "too-many"),
        (lambda: None, {"counts": {"differs": 2, "missing-record": 90}}, "made"),
        (lambda: None, {"identity_gap": "list-shrank"}, "incomplete"),
        (lambda: None, {"target_gap": "list-incomplete"}, "incomplete"),
        (lambda: _request_of_target("running"), {}, "other-repair"),
        (lambda: _request_of_target("paused"), {}, "other-repair"),
        (lambda: _request_of_target("finished"), {}, "made"),
        (lambda: _delivery_of_a_comparison("retrying"), {}, "other-repair"),
        (lambda: _delivery_of_a_comparison("held"), {}, "made"),
        (lambda: Route.objects.update(repairs_differences=False), {}, "off"),
        (lambda: None, {"cause": "person"}, ""),
        (lambda: None, {"state": "failed"}, ""),
        (lambda: Route.objects.filter(pk=user_route().pk).update(is_enabled=False), {}, "refused"),
    ],
)
def test_nothing_is_made_equal_beyond_the_bounds(
    hub: Hub, prepare: Callable[[], object], values: dict[str, Any], expected: str
) -> None:
    """Holds each bound of a repair by schedule, and that its outcome is stored for the page."""
    repairing_route()
    comparison = compared_by_schedule(**{"counts": {"differs": 1}} | values)
    drift(hub, 1, comparison)
    prepare()
    assert outcome() == expected
    repaired = Event.objects.filter(origin="comparison").exclude(entity_id="OTHER")
    assert repaired.exists() is (expected == "made")


def test_only_the_newest_comparison_with_a_result_is_repaired(hub: Hub) -> None:
    repairing_route()
    drift(hub, 1, compared_by_schedule({"differs": 1}))
    compared_by_schedule({})
    assert outcome() == "nothing"
    assert not Event.objects.exists()


def test_what_does_not_stay_equal_or_is_held_is_left_to_a_person(hub: Hub) -> None:
    route = repairing_route(max_repairs=100)
    comparison = compared_by_schedule({"differs": 5})
    stays = a_difference(comparison, "differs", "STAYS", repairs=MAX_REPAIRS_IN_A_ROW - 1)
    returns = a_difference(comparison, "differs", "RETURNS", repairs=MAX_REPAIRS_IN_A_ROW)
    a_difference(comparison, "differs", "HELD", delivery_state="held")
    a_difference(comparison, "differs", "MANY", status="not-confirmed")
    a_difference(comparison, "differs", "DONE", is_repaired=True)
    assert find_repairable(comparison, ["differs"]) == [stays]
    assert [row.does_not_stay_equal for row in (stays, returns)] == [False, True]
    Difference.objects.filter(entity_id__in=("STAYS", "DONE")).delete()
    assert (outcome(), route.max_repairs) == ("nothing", 100)
    assert Comparison.objects.get().unstable == 1, "it is reported"
